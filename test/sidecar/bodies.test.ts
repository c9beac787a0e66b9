import { createCipheriv, createHash } from 'node:crypto';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { listen, portOf } from '../support/free-ports.ts';
import { startPair } from '../support/sidecar-pair.ts';

/** All sockets of a sidecar are read into the same memory: bodies that pass at once must not see each other. */
const AT_ONCE = 12;
const BODY_BYTES = 3_000_000;
const PIECES = [1, 700, 5_000, 16_384, 16_385, 65_536, 200_000];
const PAUSE_MS = 3;

/** The same bytes for the same seed, and no others. */
function bytesOf(seed: number): Buffer {
  const key = Buffer.alloc(16, seed);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(BODY_BYTES + seed));
}

function* piecesOf(bytes: Buffer, seed: number): Generator<Buffer> {
  for (let at = 0, index = seed; at < bytes.length; index++) {
    const size = PIECES[index % PIECES.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function send(stream: http.ClientRequest | http.ServerResponse, seed: number): Promise<void> {
  const pauses = seed % 3 === 0;
  for (const piece of piecesOf(bytesOf(seed), seed)) {
    if (!stream.write(piece)) await new Promise((resolve) => stream.once('drain', resolve));
    else if (pauses && piece.length < 1_000) await sleep(PAUSE_MS);
  }
  stream.end();
}

async function hashOf(stream: http.IncomingMessage, seed: number): Promise<string> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    if (seed % 2 === 0 && ++count % 20 === 0) await sleep(PAUSE_MS); // a reader that others wait for
  }
  return hash.digest('hex');
}

const expected = (seed: number) => createHash('sha256').update(bytesOf(seed)).digest('hex');

t.test(
  'bodies that pass at once arrive as they left, in either direction, with slow readers and writers',
  async (t) => {
    const app = http.createServer(async (request, response) => {
      const seed = Number(request.headers['x-seed']);
      const length =
        request.headers['x-length'] === undefined ? {} : { 'content-length': String(BODY_BYTES + seed + 1) };
      if (request.method === 'GET') {
        response.writeHead(200, length);
        await send(response, seed + 1);
        return;
      }
      response.end(await hashOf(request, seed));
    });
    await listen(app);
    t.teardown(() => app.close());
    const { outboundPort } = await startPair(t, portOf(app));
    const agent = new http.Agent({ keepAlive: true });
    t.teardown(() => agent.destroy());

    const ask = async (seed: number) => {
      const isUpload = seed % 2 === 0;
      const isDeclared = seed % 4 < 2;
      const size = String(BODY_BYTES + seed);
      const request = http.request({
        agent,
        port: outboundPort,
        method: isUpload ? 'POST' : 'GET',
        headers: {
          host: 'server.test',
          'x-seed': String(seed),
          ...(isDeclared ? { 'x-length': 'yes' } : {}),
          ...(isUpload && isDeclared ? { 'content-length': size } : {}),
        },
      });
      const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
        request.once('response', resolve);
        request.once('error', reject);
      });
      if (isUpload) await send(request, seed);
      else request.end();
      const response = await answered;
      if (!isUpload) return { seed, got: await hashOf(response, seed + 1), wanted: expected(seed + 1) };
      let text = '';
      for await (const chunk of response) text += chunk;
      return { seed, got: text, wanted: expected(seed) };
    };
    for (let round = 0; round < 2; round++) {
      const outcomes = await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => ask(round * AT_ONCE + index)));
      t.strictSame(
        outcomes.filter(({ got, wanted }) => got !== wanted).map(({ seed }) => seed),
        [],
        `round ${round}: ${AT_ONCE} bodies of ${BODY_BYTES} bytes`,
      );
    }
  },
);
