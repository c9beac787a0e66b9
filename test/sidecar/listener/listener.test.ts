import { execFile } from 'node:child_process';
import net from 'node:net';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { answerOf } from '#sidecar/exchange/refuse.ts';
import { plainHttpLane } from '#sidecar/listener/lane.ts';
import { Listener } from '#sidecar/listener/listener.ts';
import { exchangeBytes } from '../../support/raw-http.ts';

const run = promisify(execFile);

/** A plaintext listener that answers every request with its version and target. */
async function plaintext(t: Test): Promise<{ listener: Listener; port: number }> {
  const listener = new Listener(
    plainHttpLane({
      onRequest(request) {
        const text = `${request.head.version} ${request.head.target}`;
        const headers = ['content-length', String(text.length)];
        const body = request.respond({ status: 200, reason: '', headers });
        body.write(Buffer.from(text));
        body.end([]);
      },
      onUnreadable: (_caller, refusal) => answerOf(refusal, 'x', false),
    }),
  );
  t.teardown(() => listener.destroy());
  return { listener, port: await listener.open(0, '127.0.0.1') };
}

t.test('HTTP/1.1 and HTTP/2 with prior knowledge are served on one plaintext port', async (t) => {
  const { port } = await plaintext(t);
  const curl = async (...options: string[]) =>
    (await run('curl', ['-sS', '-m', '5', ...options, `http://127.0.0.1:${port}/a`])).stdout;
  t.equal(await curl(), '1.1 /a');
  t.equal(await curl('--http2-prior-knowledge'), '2 /a');
});

t.test('what begins as the preface does and is none is a request all the same', async (t) => {
  const { port } = await plaintext(t);
  const socket = net.connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  const answer = new Promise<string>((resolve) => socket.once('data', (bytes) => resolve(String(bytes))));
  for (const part of ['P', 'R', 'OPFIND /a HTT', 'P/1.1\r\nHost: a\r\n\r\n']) {
    socket.write(part);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.match(await answer, /^HTTP\/1\.1 200 OK[\s\S]*1\.1 \/a$/);
  socket.destroy();
  t.match(await exchangeBytes(port, 'no request\r\n\r\n'), /^HTTP\/1\.1 400 /);
});

t.test('a drain ends connections that have said nothing yet', async (t) => {
  const { listener, port } = await plaintext(t);
  const silent = net.connect(port, '127.0.0.1');
  const begun = net.connect(port, '127.0.0.1', () => begun.write('PRI * HT'));
  for (const socket of [silent, begun]) socket.on('error', () => {});
  const closed = [silent, begun].map((socket) => new Promise<void>((resolve) => socket.on('close', () => resolve())));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await Promise.all([listener.drain(), ...closed]);
});
