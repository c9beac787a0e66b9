import http from 'node:http';
import net from 'node:net';
import t, { type Test } from 'tap';
import { KEEP_HEADER_CASE } from '#sidecar/http/h2/settings.ts';
import { listen, portOf } from '../../../support/free-ports.ts';
import { ALLOW_CLIENT, startInbound, until } from '../../../support/inbound-sidecar.ts';
import { DOWNGRADE_ATTACKS, type DowngradeAttack, SMUGGLED_PATH } from './downgrade-attacks.ts';
import { clientPreface, data, headers, request, settingsAck } from './frames.ts';
import { RawPeer } from './raw-peer.ts';

/** A lenient app of HTTP/1.1: Node's parser with its strictness off, so that what is smuggled would be seen. */
async function startVictim(t: Test) {
  const seen: { readonly line: string; readonly headers: readonly string[]; readonly trailers: readonly string[] }[] =
    [];
  const server = http.createServer({ insecureHTTPParser: true, joinDuplicateHeaders: true }, (asked, response) => {
    let body = '';
    asked.setEncoding('latin1').on('data', (chunk) => {
      body += chunk;
    });
    asked.on('error', () => {});
    asked.on('end', () => {
      seen.push({
        line: `${asked.method} ${asked.url} ${body}`,
        headers: asked.rawHeaders,
        trailers: asked.rawTrailers,
      });
      response.writeHead(200, { 'content-type': 'text/plain' }).end('seen');
    });
  });
  await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: portOf(server), seen };
}

/** What the attack says on this stream, with a path of its own. */
function framesOf(id: number, own: string, { pseudo = {}, fields = [], body, trailers }: DowngradeAttack): Buffer[] {
  const head = request('POST', 'PATH');
  const said: string[] = [];
  for (let index = 0; index < head.length; index += 2) {
    const name = head[index] ?? '';
    const value = name in pseudo ? pseudo[name] : head[index + 1];
    if (value !== undefined) said.push(name, value.replace('PATH', own));
  }
  const isEnd = body === undefined && trailers === undefined;
  const frames = [headers(id, [...said, ...fields], { end: isEnd })];
  if (body !== undefined) frames.push(data(id, body, { end: trailers === undefined }));
  if (trailers !== undefined) frames.push(headers(id, trailers, { end: true }));
  return frames;
}

for (const isCased of [false, true]) {
  const who = isCased ? 'a peer that says it is a Lateral sidecar' : 'any peer with a good certificate';
  t.test(`no request arrives at an app of HTTP/1.1 that its sender did not plainly send: ${who}`, async (t) => {
    const victim = await startVictim(t);
    const inbound = await startInbound(t, victim.port, 'http', ALLOW_CLIENT);
    const peer = new RawPeer(await inbound.connectTls('client', { ALPNProtocols: ['h2'] }));
    peer.say(clientPreface(...(isCased ? ([[KEEP_HEADER_CASE, 1]] as const) : [])), settingsAck);
    let id = 1;
    for (const [index, attack] of DOWNGRADE_ATTACKS.entries()) {
      const own = `/attack-${index}-`;
      peer.say(...framesOf(id, own, attack), headers(id + 2, request('GET', `/after-${index}`), { end: true }));
      const answerOf = (stream: number) =>
        peer.frames.find((line) => line.startsWith(`HEADERS ${stream} `) || line.startsWith(`RST_STREAM ${stream} `));
      await peer.until(attack.title, () => answerOf(id) !== undefined && answerOf(id + 2) !== undefined);
      const wanted =
        attack.expected === 'reset'
          ? /^RST_STREAM \d+ PROTOCOL_ERROR$/
          : new RegExp(
              `^HEADERS \\d+ (?:END_STREAM )?\\[:status: ${typeof attack.expected === 'number' ? attack.expected : 200}`,
            );
      t.match(answerOf(id), wanted, attack.title);
      t.match(answerOf(id + 2), /:status: 200/, `${attack.title}: the next request is served`);
      const arrived = victim.seen.filter(({ line }) => line.includes(own) || line.includes(' smuggled'));
      const expected =
        typeof attack.expected === 'string' && attack.expected !== 'reset'
          ? [attack.expected.replace('PATH', own)]
          : [];
      t.strictSame(
        arrived.map(({ line }) => line),
        expected,
        `${attack.title}: ${expected.length} at the app`,
      );
      id += 4;
    }
    await until(
      () => victim.seen.filter(({ line }) => line.startsWith('GET /after-')).length === DOWNGRADE_ATTACKS.length,
    );
    const lines = victim.seen.map(({ line }) => line);
    t.strictSame(
      lines.filter((line) => line.startsWith('GET /after-')),
      DOWNGRADE_ATTACKS.map((_, index) => `GET /after-${index} `),
      'those in between arrived in their order, each once',
    );
    t.strictSame(
      lines.filter((line) => line.split(' ')[1] === SMUGGLED_PATH),
      [],
    );
    const said = victim.seen
      .flatMap(({ headers, trailers }) => [...headers, ...trailers])
      .join('\n')
      .toLowerCase();
    t.notMatch(said, /x-injected|evil|http2-settings|upgrade/, 'nothing that was forged reached it');
    peer.close();
  });
}

t.test('h2c is not asked of the app behind (h2c smuggling)', async (t) => {
  const victim = await startVictim(t);
  const inbound = await startInbound(t, victim.port, 'http', ALLOW_CLIENT);
  for (const connection of ['Upgrade, HTTP2-Settings', 'Upgrade', 'HTTP2-Settings']) {
    const socket = await inbound.connectTls('client', { ALPNProtocols: ['http/1.1'] });
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
    });
    socket.write(
      `GET /h2c HTTP/1.1\r\nHost: server.test\r\nConnection: ${connection}\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n`,
    );
    await until(() => text.includes('seen'));
    t.match(text, /^HTTP\/1\.1 200 /, connection);
    socket.destroy();
  }
  for (const { headers } of victim.seen) t.notMatch(headers.join('\n').toLowerCase(), /h2c|http2-settings/);
  t.equal(victim.seen.length, 3);
});

/** Answers of an app of HTTP/2 that would be more than one, were they written down as they are. */
const SPLITS: readonly {
  readonly title: string;
  readonly fields: readonly string[];
  readonly body?: string;
  readonly trailers?: readonly string[];
  readonly method?: string;
  readonly told: RegExp;
}[] = [
  { title: 'a line break in a value', fields: [':status', '200', 'x', 'y\r\nx-injected: 1'], told: /^HTTP\/1\.1 502 / },
  {
    title: 'an answer in a value',
    fields: [':status', '200', 'x', 'y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled'],
    told: /^HTTP\/1\.1 502 /,
  },
  { title: 'a bare LF in a value', fields: [':status', '200', 'x', 'y\nx-injected: 1'], told: /^HTTP\/1\.1 502 / },
  { title: 'a NUL in a value', fields: [':status', '200', 'x', 'y\0'], told: /^HTTP\/1\.1 502 / },
  { title: 'a line break in a name', fields: [':status', '200', 'x: y\r\nx-injected', '1'], told: /^HTTP\/1\.1 502 / },
  { title: 'a colon in a name', fields: [':status', '200', 'x-injected: 1', '1'], told: /^HTTP\/1\.1 502 / },
  { title: 'an answer in the status', fields: [':status', '200 OK\r\nx-injected: 1'], told: /^HTTP\/1\.1 502 / },
  {
    title: 'transfer-encoding',
    fields: [':status', '200', 'transfer-encoding', 'chunked'],
    body: '0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
    told: /^HTTP\/1\.1 502 /,
  },
  { title: 'connection', fields: [':status', '200', 'connection', 'content-length'], told: /^HTTP\/1\.1 502 / },
  {
    title: 'content-length without a body',
    fields: [':status', '200', 'content-length', '50'],
    told: /^HTTP\/1\.1 502 /,
  },
  {
    title: 'less than content-length',
    fields: [':status', '200', 'content-length', '50'],
    body: 'short',
    told: /^(?!HTTP\/1\.1 200 [\s\S]*HTTP\/1\.1 )/,
  },
  {
    title: 'more than content-length',
    fields: [':status', '200', 'content-length', '5'],
    body: 'shortHTTP/1.1 200 OK\r\n\r\nsmuggled',
    told: /^(?![\s\S]*smuggled)/,
  },
  {
    title: 'a body in answer to HEAD',
    method: 'HEAD',
    fields: [':status', '200'],
    body: 'HTTP/1.1 200 OK\r\n\r\nsmuggled',
    told: /^(?![\s\S]*smuggled)/,
  },
  {
    title: 'a body of 204',
    fields: [':status', '204'],
    body: 'HTTP/1.1 200 OK\r\n\r\nsmuggled',
    told: /^(?![\s\S]*smuggled)/,
  },
  {
    title: 'a body of 304',
    fields: [':status', '304'],
    body: 'HTTP/1.1 200 OK\r\n\r\nsmuggled',
    told: /^(?![\s\S]*smuggled)/,
  },
  { title: '101', fields: [':status', '101'], told: /^HTTP\/1\.1 502 / },
  {
    title: 'an answer in the trailers',
    fields: [':status', '200'],
    body: 'x',
    trailers: ['x', 'y\r\n\r\nHTTP/1.1 200 OK\r\n\r\nsmuggled'],
    told: /^(?![\s\S]*smuggled)/,
  },
  {
    title: 'content-length in the trailers',
    fields: [':status', '200'],
    body: 'x',
    trailers: ['content-length', '0'],
    told: /^(?![\s\S]*content-length: 0)/,
  },
  {
    title: 'and a good one',
    fields: [':status', '200', 'content-length', '2'],
    body: 'ok',
    told: /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nok$/,
  },
];

t.test(
  'whatever an app of HTTP/2 answers, a caller of HTTP/1.1 gets one answer, and nobody gets that of another',
  async (t) => {
    const app = net.createServer((socket) => {
      const peer = new RawPeer(socket);
      peer.socket.once('data', () => socket.write(Buffer.concat([clientPreface().subarray(24), settingsAck])));
      peer.onFrame = (line) => {
        const [, id = '', kind, number] = /^HEADERS (\d+) .*:path: \/(attack|after)-(\d+)/.exec(line) ?? [];
        if (kind === undefined) return;
        const { fields, body, trailers } = (kind === 'attack' ? SPLITS[Number(number)] : undefined) ?? {
          fields: [':status', '200'],
          body: `own ${number}`,
        };
        peer.say(headers(Number(id), fields, { end: body === undefined }));
        if (body !== undefined) peer.say(data(Number(id), body, { end: trailers === undefined }));
        if (trailers !== undefined) peer.say(headers(Number(id), trailers, { end: true }));
      };
    });
    await listen(app);
    t.teardown(() => app.close());
    const inbound = await startInbound(t, portOf(app), 'grpc', ALLOW_CLIENT);
    for (const [index, { title, method = 'GET', told }] of SPLITS.entries()) {
      const socket = await inbound.connectTls('client', { ALPNProtocols: ['http/1.1'] });
      let text = '';
      let isEnded = false;
      socket.on('data', (bytes: Buffer) => {
        text += bytes.toString('latin1');
      });
      socket.on('close', () => {
        isEnded = true;
      });
      socket.on('end', () => {
        isEnded = true;
      });
      socket.on('error', () => {});
      socket.write(`${method} /attack-${index} HTTP/1.1\r\nHost: server.test\r\n\r\n`);
      await until(() => isEnded || /\r\n\r\n/.test(text));
      await until(() => isEnded || told.test(text));
      await new Promise((resolve) => setTimeout(resolve, 20)); // for what should not come
      t.match(text, told, title);
      t.notMatch(text, /x-injected/, title);
      t.ok((text.match(/HTTP\/1\.1 \d\d\d /g)?.length ?? 0) <= 1, `${title}: one answer at most`);
      const before = text;
      if (!isEnded) {
        socket.write(`GET /after-${index} HTTP/1.1\r\nHost: server.test\r\n\r\n`);
        await until(() => isEnded || text.endsWith(`own ${index}`) || text.includes(`own ${index}\r\n`));
        if (!isEnded)
          t.match(text.slice(before.length), /^HTTP\/1\.1 200 /, `${title}: the next answer is the next one`);
      }
      socket.destroy();
    }
  },
);
