import fc from 'fast-check';
import t from 'tap';
import { MAX_HEADER_BYTES } from '#sidecar/http/h1/head-collector.ts';
import { RequestParser } from '#sidecar/http/h1/request-parser.ts';
import { mutatedBytes, requestStream } from './generate-messages.ts';
import { readRequests, requestLines } from './read-request.ts';
import { cutAt, splits } from './split-bytes.ts';

const whole = (text: string) => requestLines(readRequests([Buffer.from(text, 'latin1')]));
const HOST = 'Host: a\r\n';

t.test('reads requests: order, case and repetition of headers, bodies by length and in chunks, trailers', async (t) => {
  t.strictSame(whole(`GET /a?b=1 HTTP/1.1\r\n${HOST}X-B: 1 \r\nx-a:\t2\r\nX-B:\r\n\r\n`), [
    'GET /a?b=1 1.1 ["Host","a","X-B","1","x-a","2","X-B",""] ""',
  ]);
  t.match(whole(`POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`)[0], / "hello" \[\]$/);
  const chunked = `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A;ext="v"\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n`;
  t.match(whole(chunked)[0], / "abc0123456789" \["X-T","1"\]$/);
  t.strictSame(whole('GET / HTTP/1.0\r\n\r\n'), ['GET / 1.0 [] ""']);
  t.strictSame(whole(`\r\nGET / HTTP/1.1\r\n${HOST}\r\n`), ['GET / 1.1 ["Host","a"] ""'], 'one empty line before');
  const two = `GET /1 HTTP/1.1\r\n${HOST}\r\nPOST /2 HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\n${HOST}\r\n`;
  t.strictSame(
    whole(two).map((line) => line.split(' ').slice(0, 2).join(' ')),
    ['GET /1', 'POST /2', 'GET /3'],
    'pipelined, in order',
  );
});

t.test('reads nothing of the next request before the one before is answered', async (t) => {
  const targets: string[] = [];
  const parser = new RequestParser(({ head }) => targets.push(head.target), { onChunk() {}, onEnd() {} });
  const bytes = Buffer.from(`GET /1 HTTP/1.1\r\n${HOST}\r\nGET /2 HTTP/1.1\r\n${HOST}\r\n`);
  const stoppedAt = parser.push(bytes, 0);
  t.equal(parser.push(bytes, stoppedAt), stoppedAt);
  t.strictSame(targets, ['/1']);
  parser.next();
  t.equal(parser.push(bytes, stoppedAt), bytes.length);
  t.strictSame(targets, ['/1', '/2']);
});

t.test('refuses a header block over its limits, and takes one that just fits', async (t) => {
  const line = 'GET / HTTP/1.1\r\nX: ';
  const fits = `${line}${'a'.repeat(MAX_HEADER_BYTES - line.length)}`;
  for (const [text, expected] of [
    [fits, /^GET \//],
    [`${fits}a`, /^header_block_too_large: header block exceeds maxHeaderBytes 61440$/],
  ] as const) {
    const bytes = Buffer.from(`${text}\r\n\r\n`);
    for (const at of [1, 1_024, bytes.length - 1, bytes.length - 2, bytes.length - 3, bytes.length - 4, bytes.length])
      t.match(requestLines(readRequests(cutAt(bytes, [at])))[0], expected, `split at ${at}`);
  }
  t.match(
    whole(`GET / HTTP/1.1\r\nX: ${'a'.repeat(MAX_HEADER_BYTES)}`)[0],
    /^header_block_too_large/,
    'before its end',
  );
  t.match(
    whole(`GET / HTTP/1.1\r\n${'X: 1\r\n'.repeat(257)}\r\n`)[0],
    /^header_block_too_large: more than maxHeaderFields 256$/,
  );
  t.match(whole(`GET / HTTP/1.1\r\n${'X: 1\r\n'.repeat(256)}\r\n`)[0], /^GET/);
});

t.test('a header block in single bytes costs no more than its bytes', async (t) => {
  const bytes = Buffer.from(`GET / HTTP/1.1\r\n${HOST}X: ${'a'.repeat(60_000)}\r\n\r\n`);
  const pieces = [...bytes].map((byte) => Buffer.of(byte));
  const before = process.cpuUsage();
  t.equal(readRequests(pieces).requests.length, 1);
  const { user, system } = process.cpuUsage(before);
  const spentMs = (user + system) / 1_000;
  t.ok(spentMs < 800, `${spentMs} ms`); // copying the block at each byte takes several times that
});

t.test('chunks stay as they were after the call', async (t) => {
  const chunks: Buffer[] = [];
  const sink = { onChunk: (chunk: Buffer) => chunks.push(chunk), onEnd() {} };
  const parser = new RequestParser(() => {}, sink);
  parser.push(Buffer.from(`POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`), 0);
  parser.push(Buffer.from('3\r\ndef\r\n2'), 0);
  parser.push(Buffer.from('\r\nghXX'.replace('XX', '\r\n')), 0);
  parser.push(Buffer.from('0\r\n\r\n'), 0);
  t.equal(Buffer.concat(chunks).toString(), 'abcdefgh');
});

t.test('an idle parser keeps nothing of the bytes it read', async (t) => {
  const parser = new RequestParser(() => {}, { onChunk() {}, onEnd() {} });
  let collected = false;
  const registry = new FinalizationRegistry(() => {
    collected = true;
  });
  const read = () => {
    const bytes = Buffer.alloc(200_000, `GET / HTTP/1.1\r\n${HOST}\r\n`);
    registry.register(bytes.buffer, 0);
    parser.push(bytes, 0);
    parser.next();
  };
  read();
  const { setFlagsFromString } = await import('node:v8');
  setFlagsFromString('--expose-gc');
  const gc: unknown = (await import('node:vm')).runInNewContext('gc');
  for (let turn = 0; turn < 20 && !collected; turn++) {
    if (typeof gc === 'function') gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.ok(collected);
  t.notOk(parser.isInHead);
});

t.test('valid requests are read as they were made, wherever they are split', async () => {
  fc.assert(
    fc.property(requestStream, fc.array(fc.nat(2_000), { maxLength: 6 }), ({ bytes, expected }, places) => {
      const lines = requestLines(readRequests(cutAt(bytes, places)));
      return JSON.stringify(lines) === JSON.stringify(expected);
    }),
    { numRuns: 1_000 },
  );
});

t.test('whatever becomes of a request by mutation, all splits of it are read alike', async (t) => {
  let refused = 0;
  let read = 0;
  fc.assert(
    fc.property(mutatedBytes(requestStream), fc.array(fc.nat(500), { maxLength: 3 }), (bytes, places) => {
      const reading = readRequests([bytes]);
      if (reading.error === undefined) read++;
      else refused++;
      const expected = requestLines(reading).join('\n');
      const single = requestLines(readRequests([...bytes].map((byte) => Buffer.of(byte)))).join('\n');
      return single === expected && requestLines(readRequests(cutAt(bytes, places))).join('\n') === expected;
    }),
    { numRuns: 1_500 },
  );
  t.ok(refused > 50 && read > 50, `${refused} refused, ${read} read`);
});

t.test('requests, bodies and trailers read the same at every single split', async (t) => {
  const text = `POST /a HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello\r\nPOST /b HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\nGET /c HTTP/1.1\r\n${HOST}\r\n`;
  const bytes = Buffer.from(text);
  const expected = requestLines(readRequests([bytes])).join('\n');
  t.equal(expected.split('\n').length, 3);
  for (const pieces of splits(bytes)) {
    const actual = requestLines(readRequests(pieces)).join('\n');
    if (actual !== expected) t.equal(actual, expected);
  }
});
