import http2 from 'node:http2';
import t, { type Test } from 'tap';
import { Http2Upstream } from '#sidecar/http/h2/upstream.ts';
import type {
  BodyConsumer,
  IncomingBody,
  OutgoingRequest,
  ResponseHead,
  UpstreamExchange,
} from '#sidecar/http/message.ts';
import { listen, portOf } from '../../../support/free-ports.ts';
import { outgoingRequest, readWhole } from '../../../support/outgoing-request.ts';
import { patterned } from './echo-listener.ts';
import { FedBody } from './session-runs.ts';

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

interface Peer {
  readonly port: number;
  /** Streams that were cancelled, by path. */
  readonly cancelled: string[];
  readonly sessions: http2.ServerHttp2Session[];
}

/** node:http2 as an app: `/bytes/N`, `/early`, `/hold`; anything else is sent back with its trailers. */
async function startPeer(t: Test, options: http2.ServerOptions = {}): Promise<Peer> {
  const server = http2.createServer({ maxSessionMemory: 100, ...options });
  const peer: Peer = { port: 0, cancelled: [], sessions: [] };
  server.on('session', (session) => peer.sessions.push(session));
  server.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    const path = String(headers[':path']);
    stream.on('error', () => {});
    stream.on('close', () => {
      if (stream.rstCode === http2.constants.NGHTTP2_CANCEL) peer.cancelled.push(path);
    });
    const [, kind, size] = path.split('/');
    if (kind === 'bytes') {
      stream.respond({ ':status': 200, 'x-host': headers[':authority'] });
      stream.end(patterned(Number(size)));
    } else if (kind === 'early') {
      stream.respond({ ':status': 413 });
      stream.end('too much');
    } else if (kind === 'hold') stream.resume();
    else if (kind === 'informed') {
      stream.additionalHeaders({ ':status': 103, link: '</a>' });
      stream.respond({ ':status': 204 }, { endStream: true });
    } else {
      let trailers: http2.IncomingHttpHeaders = {};
      stream.on('trailers', (told) => {
        trailers = told;
      });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-back': '1', ...trailers }));
      stream.respond({ ':status': 200, 'x-method': headers[':method'] }, { waitForTrailers: true });
      stream.pipe(stream);
    }
  });
  await listen(server);
  t.teardown(() => {
    server.close();
    for (const session of peer.sessions) session.destroy();
  });
  return { ...peer, port: portOf(server) };
}

interface Result {
  readonly head: ResponseHead;
  readonly body: Buffer;
  readonly trailers: readonly string[];
}

interface Question {
  readonly method?: string;
  readonly path: string;
  readonly headers?: readonly string[];
  readonly body?: OutgoingRequest['body'];
  readonly onInformation?: (head: ResponseHead) => void;
}

function begin(
  upstream: Http2Upstream,
  { method = 'GET', path, headers = [], body = null, onInformation }: Question,
): UpstreamExchange {
  const head: OutgoingRequest['head'] = {
    method,
    target: path,
    headers: ['host', 'server.test', ...headers],
    version: '2',
  };
  return upstream.send(outgoingRequest(head, { body, ...(onInformation === undefined ? {} : { onInformation }) }));
}

async function ask(upstream: Http2Upstream, question: Question): Promise<Result> {
  const { head, body } = await begin(upstream, question).response;
  return { head, ...(await readWhole(body)) };
}

/** A body that gives its bytes in pieces, as its consumer takes them. */
class PieceBody implements IncomingBody {
  readonly isPresent = true;
  readonly declaredLength = undefined;
  readonly #bytes: Buffer;
  readonly #trailers: readonly string[];
  #at = 0;
  #isPaused = false;
  #consumer: BodyConsumer | undefined;

  constructor(bytes: Buffer, trailers: readonly string[] = []) {
    this.#bytes = bytes;
    this.#trailers = trailers;
  }

  start(consumer: BodyConsumer): void {
    this.#consumer = consumer;
    this.#go();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#go();
  }

  cancel(): void {
    this.#consumer = undefined;
  }

  #go(): void {
    while (!this.#isPaused && this.#at < this.#bytes.length) {
      const piece = this.#bytes.subarray(this.#at, this.#at + 30_000);
      this.#at += piece.length;
      this.#consumer?.onChunk(piece);
    }
    if (this.#isPaused || this.#at < this.#bytes.length) return;
    const consumer = this.#consumer;
    this.#consumer = undefined;
    consumer?.onEnd(this.#trailers);
  }
}

function open(t: Test, port: number): Http2Upstream {
  const upstream = new Http2Upstream({ address: '127.0.0.1', port });
  t.teardown(() => upstream.close());
  return upstream;
}

t.test('we ask node:http2: bodies of all sizes, both ways', async (t) => {
  const { port, sessions } = await startPeer(t);
  const upstream = open(t, port);
  for (const size of SIZES) {
    const bytes = patterned(size);
    const down = await ask(upstream, { path: `/bytes/${size}` });
    t.ok(down.body.equals(bytes), `${size} bytes down`);
    const streamed = await ask(upstream, { method: 'POST', path: '/back', body: new PieceBody(bytes) });
    t.ok(streamed.body.equals(bytes), `${size} bytes there and back, streamed`);
    const buffered = await ask(upstream, { method: 'POST', path: '/back', body: bytes });
    t.ok(buffered.body.equals(bytes), `${size} bytes there and back, from memory`);
  }
  t.equal(sessions.length, 1, 'over one connection');
});

t.test('windows, tables and frames as small and as large as a server may want', async (t) => {
  for (const settings of [
    { initialWindowSize: 1 },
    { initialWindowSize: 1_000 },
    { initialWindowSize: 2 ** 31 - 1 },
    { headerTableSize: 0 },
    { headerTableSize: 65_536 },
    { maxFrameSize: 2 ** 24 - 1 },
  ]) {
    const { port } = await startPeer(t, { settings });
    const bytes = patterned(settings.initialWindowSize === 1 ? 200 : 100_000);
    const upstream = open(t, port);
    for (let round = 0; round < 3; round++) {
      const { body } = await ask(upstream, {
        method: 'POST',
        path: '/back',
        headers: ['x-same', 'value'],
        body: new PieceBody(bytes),
      });
      t.ok(body.equals(bytes), JSON.stringify(settings));
    }
  }
});

t.test('headers, trailers and interim answers', async (t) => {
  const { port } = await startPeer(t);
  const upstream = open(t, port);
  const { head, trailers } = await ask(upstream, {
    method: 'PUT',
    path: '/back',
    body: new PieceBody(patterned(50), ['x-sum', '1']),
  });
  t.match(head, { status: 200 });
  t.match(head.headers.join(' '), /x-method PUT/);
  t.strictSame(trailers.join(' '), 'x-back 1 x-sum 1');
  t.match((await ask(upstream, { path: '/bytes/0' })).head.headers.join(' '), /x-host server\.test/);
  const informed: ResponseHead[] = [];
  const { head: last } = await ask(upstream, { path: '/informed', onInformation: (told) => informed.push(told) });
  t.equal(last.status, 204);
  t.match(informed, [{ status: 103, headers: ['link', '</a>'] }]);
});

t.test('many at once keep to what the server allows, and all are served', async (t) => {
  const { port, sessions } = await startPeer(t, { settings: { maxConcurrentStreams: 7 } });
  const upstream = open(t, port);
  const answers = await Promise.all(
    Array.from({ length: 400 }, async (_, index) => {
      const bytes = patterned(index % 20 === 0 ? 200_000 : index);
      const { body } = await ask(upstream, { method: 'POST', path: `/back-${index}`, body: new PieceBody(bytes) });
      return body.equals(bytes);
    }),
  );
  t.strictSame(
    answers.filter((isRight) => !isRight),
    [],
  );
  t.ok(sessions.length <= 16, `${sessions.length} connections`);
});

t.test('an answer that comes before the request is whole', async (t) => {
  const { port } = await startPeer(t);
  const upstream = open(t, port);
  for (let round = 0; round < 3; round++) {
    const body = new FedBody();
    const flight = begin(upstream, { method: 'POST', path: '/early', body });
    await new Promise((resolve) => setTimeout(resolve, 10));
    body.consumer?.onChunk(Buffer.alloc(100_000));
    const answer = await flight.response;
    t.equal(answer.head.status, 413);
    t.equal((await readWhole(answer.body)).body.toString(), 'too much');
    t.equal((await ask(upstream, { path: '/bytes/10' })).body.length, 10);
  }
});

t.test('cancellation ends one stream', async (t) => {
  const { port, cancelled, sessions } = await startPeer(t);
  const upstream = open(t, port);
  const held = begin(upstream, { method: 'POST', path: '/hold', body: new FedBody() });
  await ask(upstream, { path: '/bytes/1' });
  held.cancel(new Error('not wanted'));
  t.match(await held.response.catch((failure) => failure), { kind: 'cancelled', isUnsent: false });
  const large = await begin(upstream, { path: '/bytes/30000000' }).response;
  large.body.start({
    onChunk: () => large.body.cancel(),
    onEnd: () => t.fail('it ended'),
    onError: () => t.fail('it was told'),
  });
  t.equal((await ask(upstream, { path: '/bytes/1000000' })).body.length, 1_000_000);
  t.strictSame(cancelled, ['/hold', '/bytes/30000000']);
  t.equal(sessions.length, 1);
});

t.test('a server that goes away while it is asked loses nothing that it had not begun', async (t) => {
  const { port, sessions } = await startPeer(t);
  const upstream = open(t, port);
  await ask(upstream, { path: '/bytes/1' });
  for (let round = 0; round < 5; round++) {
    const answers = Array.from({ length: 20 }, (_, index) => ask(upstream, { path: `/bytes/${index}` }));
    sessions.at(-1)?.close();
    const sizes = (await Promise.all(answers)).map(({ body }) => body.length);
    t.strictSame(
      sizes,
      Array.from({ length: 20 }, (_, index) => index),
    );
  }
});

t.test('a server that is lost ends what it was asked', async (t) => {
  const { port, sessions } = await startPeer(t);
  const upstream = open(t, port);
  await ask(upstream, { path: '/bytes/1' });
  const held = begin(upstream, { path: '/hold' });
  await ask(upstream, { path: '/bytes/1' });
  sessions.at(-1)?.destroy();
  t.match(await held.response.catch((failure) => failure), { kind: 'closed', wasKept: true });
  t.equal((await ask(upstream, { path: '/bytes/5' })).body.length, 5, 'and the next one goes over a new connection');
});

t.test('a slow reader of ours holds up the server, and gets all of it', async (t) => {
  const { port } = await startPeer(t);
  const upstream = open(t, port);
  const { body } = await begin(upstream, { path: '/bytes/5000000' }).response;
  let size = 0;
  const ended = new Promise<void>((resolve, reject) => {
    body.start({
      onChunk: (chunk) => {
        size += chunk.length;
        body.pause();
        setTimeout(() => body.resume(), 1);
      },
      onEnd: () => resolve(),
      onError: reject,
    });
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.ok(size < 3_000_000);
  for (let index = 0; index < 10; index++)
    t.equal((await ask(upstream, { path: '/bytes/100000' })).body.length, 100_000);
  await ended;
  t.equal(size, 5_000_000);
});
