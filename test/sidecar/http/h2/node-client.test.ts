import { once } from 'node:events';
import http2 from 'node:http2';
import t, { type Test } from 'tap';
import { patterned, startEcho } from './echo-listener.ts';

/** Where windows and frames end, and around there; 8 MB stalled a trial of this design. */
const SIZES = [
  0,
  1,
  100,
  16_383,
  16_384,
  16_385,
  65_535,
  65_536,
  131_072,
  262_144,
  262_145,
  1_000_000,
  8 * 1_024 * 1_024,
];

async function connect(
  t: Test,
  port: number,
  options: http2.ClientSessionOptions = {},
): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(`http://127.0.0.1:${port}`, options);
  session.on('error', (error) => t.fail(error.message));
  t.teardown(() => session.destroy());
  await once(session, 'connect');
  return session;
}

interface Answered {
  readonly headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;
  readonly body: Buffer;
  readonly trailers: http2.IncomingHttpHeaders;
}

function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: Buffer,
  trailers?: http2.OutgoingHttpHeaders,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined, waitForTrailers: trailers !== undefined });
    const chunks: Buffer[] = [];
    let answered: Answered['headers'] = {};
    let trailed: http2.IncomingHttpHeaders = {};
    stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}));
    stream.on('response', (told) => {
      answered = told;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('trailers', (told) => {
      trailed = told;
    });
    stream.on('error', reject);
    stream.on('end', () => resolve({ headers: answered, body: Buffer.concat(chunks), trailers: trailed }));
    if (body !== undefined) stream.end(body);
  });
}

t.test('node:http2 asks us: bodies of all sizes, both ways', async (t) => {
  const { port } = await startEcho(t);
  const session = await connect(t, port);
  for (const size of SIZES) {
    const bytes = patterned(size);
    const got = await ask(session, { ':path': `/bytes/${size}` });
    t.ok(got.body.equals(bytes), `${size} bytes down`);
    t.equal(got.headers['content-length'], `${size}`);
    const back = await ask(session, { ':method': 'POST', ':path': '/back' }, bytes);
    t.ok(back.body.equals(bytes), `${size} bytes there and back`);
  }
});

t.test('windows as small and as large as they may be', async (t) => {
  const { port } = await startEcho(t);
  for (const settings of [
    { initialWindowSize: 1 },
    { initialWindowSize: 100 },
    { initialWindowSize: 2 ** 31 - 1 },
    { headerTableSize: 0 },
    { maxFrameSize: 2 ** 24 - 1 },
  ]) {
    const session = await connect(t, port, { settings });
    const bytes = patterned(settings.initialWindowSize === 1 ? 500 : 100_000);
    t.ok(
      (await ask(session, { ':method': 'POST', ':path': '/back' }, bytes)).body.equals(bytes),
      JSON.stringify(settings),
    );
  }
});

t.test('headers, trailers and statuses', async (t) => {
  const { port } = await startEcho(t);
  const session = await connect(t, port);
  const { headers, trailers } = await ask(session, { ':method': 'PUT', ':path': '/back' }, patterned(100), {
    'x-sum': '1',
    'x-other': 'two words',
  });
  t.match(headers, { ':status': 200, 'x-served': 'yes', 'x-method': 'PUT' });
  t.match(trailers, { 'x-sum': '1', 'x-other': 'two words' });
  const none = await ask(session, { ':method': 'POST', ':path': '/back' }, Buffer.alloc(0), { 'x-sum': '' });
  t.strictSame([none.body.length, none.trailers['x-sum']], [0, '']);
  const head = await ask(session, { ':method': 'HEAD', ':path': '/back' });
  t.equal(head.headers[':status'], 200);
});

t.test('many streams at once, large and small', async (t) => {
  const { port } = await startEcho(t);
  const session = await connect(t, port);
  session.setMaxListeners(0);
  const answers = await Promise.all(
    Array.from({ length: 300 }, (_, index) => {
      const bytes = patterned(index % 10 === 0 ? 300_000 : index * 10);
      return ask(session, { ':method': 'POST', ':path': `/back-${index}` }, bytes).then(({ body }) =>
        body.equals(bytes),
      );
    }),
  );
  t.strictSame(
    answers.filter((isRight) => !isRight),
    [],
  );
});

t.test('an answer that comes before the request is whole, and the connection goes on', async (t) => {
  const { port } = await startEcho(t);
  const session = await connect(t, port);
  for (let round = 0; round < 3; round++) {
    const stream = session.request({ ':method': 'POST', ':path': '/early' }, { endStream: false });
    stream.write(patterned(200_000));
    stream.on('error', () => {});
    const [headers] = await once(stream, 'response');
    t.equal(headers[':status'], 413);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    t.equal(Buffer.concat(chunks).toString(), 'too much');
    const next = await ask(session, { ':path': '/bytes/10' });
    t.equal(next.body.length, 10);
  }
});

t.test('cancellation by either side ends one stream', async (t) => {
  const echo = await startEcho(t);
  const session = await connect(t, echo.port);
  const held = session.request({ ':method': 'POST', ':path': '/hold' }, { endStream: false });
  held.on('error', () => {});
  held.write('begun');
  await ask(session, { ':path': '/bytes/1' });
  held.close(http2.constants.NGHTTP2_CANCEL);
  await once(held, 'close');
  await ask(session, { ':path': '/bytes/1' });
  t.strictSame(echo.abandoned, ['/hold']);

  const large = session.request({ ':path': '/bytes/50000000' });
  await once(large, 'data');
  large.close(http2.constants.NGHTTP2_CANCEL);
  await once(large, 'close');
  t.equal((await ask(session, { ':path': '/bytes/100000' })).body.length, 100_000, 'its window does not stay taken');

  const reset = session.request({ ':path': '/reset' });
  const chunks: Buffer[] = [];
  reset.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [error] = await once(reset, 'error', { signal: AbortSignal.timeout(5_000) }).catch((failure) => [failure]);
  t.match(error.message, /NGHTTP2_INTERNAL_ERROR/);
  t.equal(Buffer.concat(chunks).toString(), 'begun');
  t.equal((await ask(session, { ':path': '/bytes/1' })).body.length, 1);
});

t.test('a reader that is slow gets all of it, and others need not wait', async (t) => {
  const { port } = await startEcho(t);
  const session = await connect(t, port, { settings: { initialWindowSize: 65_535 } });
  session.setLocalWindowSize(10_000_000);
  const slow = session.request({ ':path': '/bytes/3000000' });
  slow.pause();
  await once(slow, 'response');
  for (let index = 0; index < 20; index++)
    t.equal((await ask(session, { ':path': '/bytes/20000' })).body.length, 20_000);
  let size = 0;
  slow.on('data', (chunk: Buffer) => {
    size += chunk.length;
  });
  slow.resume();
  await once(slow, 'end');
  t.equal(size, 3_000_000);
});

t.test('pings and settings meanwhile', async (t) => {
  const { port } = await startEcho(t);
  const session = await connect(t, port);
  const asked = ask(session, { ':method': 'POST', ':path': '/back' }, patterned(2_000_000));
  for (let index = 0; index < 10; index++) {
    await new Promise<void>((resolve, reject) => {
      session.ping(Buffer.from('measured'), (error, _ms, payload) =>
        error === null && payload.toString() === 'measured' ? resolve() : reject(error),
      );
    });
    session.settings({ initialWindowSize: index % 2 === 0 ? 10 : 1_000_000 });
  }
  t.ok((await asked).body.equals(patterned(2_000_000)));
});
