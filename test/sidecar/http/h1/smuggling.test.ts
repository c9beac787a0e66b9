import http from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { listen, portOf } from '../../../support/free-ports.ts';
import { startPair } from '../../../support/sidecar-pair.ts';
import { ask } from '../../../support/start-app.ts';
import { REQUEST_ATTACKS, type RequestAttack, SMUGGLED_PATH } from './request-attacks.ts';
import { RESPONSE_ATTACKS, SMUGGLED_TEXT } from './response-attacks.ts';

/** A final answer and its length; the app and a refusal both declare one. */
const ANSWER = /HTTP\/1\.1 [2-5]\d\d (?:[^\r]*\r\n)+?content-length: (\d+)\r\n[\s\S]*?\r\n\r\n/i;
const ANSWER_TIMEOUT_MS = 5_000;
const AT_ONCE = 24;
/** What begins otherwise is not HTTP/1.1 to a port that detects its protocol. */
const LOOKS_LIKE_HTTP = /^(?:\r\n)?[A-Z]+ [\x21-\xff]+ HTTP\/1\.[01]\r\n/;

function isAnswered(text: string): boolean {
  const head = ANSWER.exec(text);
  return head !== null && text.length >= head.index + head[0].length + Number(head[1]);
}

/** Sends the bytes, and collects until the other side closes or its answer is complete. */
function send(socket: Socket, ready: 'connect' | 'secureConnect', bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy());
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (isAnswered(text)) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    socket.once(ready, () => socket.write(bytes, 'latin1'));
  });
}

/** A lenient app: Node's parser with its strictness off, so that what is smuggled would be seen. */
async function startVictim(t: Test) {
  const seen: string[] = [];
  const server = http.createServer({ insecureHTTPParser: true }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => {});
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      seen.push(`${request.method} ${request.url} ${body.toString('latin1')}`);
      const answer = `read ${body.length}`;
      response.writeHead(200, { 'content-length': answer.length }).end(answer);
    });
  });
  await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: portOf(server), seen };
}

/** Each attack under a path of its own. */
const NUMBERED = REQUEST_ATTACKS.map((attack, index) => ({
  ...attack,
  path: `/attack-${index}-`,
  bytes: attack.bytes.replace('/attack', `/attack-${index}-`),
}));

function wantedAtApp({ expected, stage, path }: (typeof NUMBERED)[number]): readonly string[] {
  if (typeof expected === 'string' || stage !== undefined) return [];
  return expected.map((line) => line.replace('/attack', path));
}

function wantedAnswer({ expected, stage }: RequestAttack): RegExp {
  if (typeof expected !== 'string' && stage === undefined)
    return /^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 200 /;
  const code = stage ?? (typeof expected === 'string' ? expected : '');
  const status = code === 'header_block_too_large' ? 431 : 400;
  return new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*"code":"${code}"`);
}

async function attack(
  t: Test,
  attacks: typeof NUMBERED,
  seen: readonly string[],
  open: (bytes: string) => Promise<string>,
): Promise<void> {
  for (let from = 0; from < attacks.length; from += AT_ONCE) {
    const some = attacks.slice(from, from + AT_ONCE);
    const answers = await Promise.all(some.map(({ bytes }) => open(bytes)));
    for (const [index, each] of some.entries()) {
      const answer = answers[index] ?? '';
      if (!wantedAnswer(each).test(answer)) t.match(answer, wantedAnswer(each), each.title);
      t.equal(answer.match(/HTTP\/1\.1 [2-5]\d\d /g)?.length, 1, `${each.title}: one answer`);
      const arrived = seen.filter((line) => line.includes(each.path));
      t.strictSame(arrived, wantedAtApp(each), `${each.title}: ${wantedAtApp(each).length} at the app`);
    }
  }
  t.strictSame(
    seen.filter((line) => line.split(' ')[1] === SMUGGLED_PATH),
    [],
  );
}

t.test('through a pair of sidecars no request arrives that its sender did not plainly send', async (t) => {
  const victim = await startVictim(t);
  const pair = await startPair(t, victim.port);
  const attacks = NUMBERED.filter(({ bytes }) => !bytes.startsWith('PRI ')); // that is HTTP/2, and read as such
  await attack(t, attacks, victim.seen, (bytes) => send(connect(pair.outboundPort, '127.0.0.1'), 'connect', bytes));
  // had something been left behind on a kept connection, somebody else would get its answer
  const bodies = Array.from({ length: 40 }, (_, index) => 'x'.repeat(index + 100));
  const answers = await Promise.all(bodies.map((body) => ask(pair.outboundPort, { method: 'POST', body })));
  t.strictSame(
    answers.map(({ body }) => body),
    bodies.map((body) => `read ${body.length}`),
  );
});

t.test('nor from a peer that has a good certificate and sends what it likes', async (t) => {
  const victim = await startVictim(t);
  const pair = await startPair(t, victim.port);
  const leaf = pair.authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  const attacks = NUMBERED.filter(({ bytes }) => LOOKS_LIKE_HTTP.test(bytes));
  await attack(t, attacks, victim.seen, (bytes) => {
    const options = { port: pair.inboundPort, host: '127.0.0.1', rejectUnauthorized: false, ...leaf };
    return send(connectTls(options), 'secureConnect', bytes);
  });
});

t.test('whatever an app answers, each caller gets one answer, and nobody gets that of another', async (t) => {
  const app = createServer((socket) => {
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const path = /^\S+ \/(\w+)-(\d+) [\s\S]*\r\n\r\n$/.exec(text);
      if (path === null) return;
      text = '';
      const attackOf = path[1] === 'attack' ? RESPONSE_ATTACKS[Number(path[2])] : undefined;
      if (attackOf === undefined) {
        const body = `own ${path[2]}`;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      } else if (attackOf.ends === true) socket.end(attackOf.bytes, 'latin1');
      else socket.write(attackOf.bytes, 'latin1');
    });
  });
  await listen(app);
  t.teardown(() => app.close());
  const pair = await startPair(t, portOf(app));
  for (const [index, { title, method, told, expected }] of RESPONSE_ATTACKS.entries()) {
    const answer = await ask(pair.outboundPort, { path: `/attack-${index}`, ...(method && { method }) }).catch(
      () => undefined,
    );
    if (told === undefined) t.ok(answer === undefined || answer.status >= 500, title);
    else t.equal(answer?.status, told, title);
    if (typeof expected === 'string') t.notMatch(answer?.body ?? '', SMUGGLED_TEXT, title);
    const next = await ask(pair.outboundPort, { path: `/after-${index}` });
    t.strictSame([next.status, next.body], [200, `own ${index}`], `${title}, and the next caller gets its own answer`);
  }
});
