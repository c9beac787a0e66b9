import fc from 'fast-check';
import t from 'tap';
import { ProtocolError } from '#sidecar/http/h1/protocol-error.ts';
import { ResponseParser } from '#sidecar/http/h1/response-parser.ts';
import { mutatedBytes, responseStream } from './generate-messages.ts';
import { readResponse } from './read-response.ts';
import { RESPONSE_ATTACKS } from './response-attacks.ts';
import { cutAt, splits } from './split-bytes.ts';

const whole = (text: string, method?: string, ends?: boolean) =>
  readResponse([Buffer.from(text, 'latin1')], method, ends);

t.test('ends a body by length, chunks, status, method or the connection', async (t) => {
  t.strictSame(whole('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'), [
    '200 OK ["Content-Length","2"] reusable length 2',
    'body "hi" []',
  ]);
  t.strictSame(
    whole('HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: 1\r\n\r\n').at(-1),
    'body "hi" ["X","1"]',
  );
  t.strictSame(whole('HTTP/1.1 200 OK\r\n\r\nto the end'), ['200 OK []', 'body "to the end" []']);
  t.strictSame(whole('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 'HEAD'), [
    '200 OK ["Content-Length","5"] reusable',
    'body "" []',
  ]);
  for (const status of [204, 304])
    t.equal(whole(`HTTP/1.1 ${status} X\r\nContent-Length: 5\r\n\r\n`).at(-1), 'body "" []');
});

t.test('says whether the connection may be used again', async (t) => {
  const isReusable = (text: string) => whole(text)[0]?.includes('reusable');
  t.ok(isReusable('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
  t.notOk(isReusable('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'));
  t.notOk(isReusable('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n'));
  t.notOk(isReusable('HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'));
  t.ok(isReusable('HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n'));
  t.notOk(isReusable('HTTP/1.1 200 OK\r\n\r\n'));
});

t.test('interim responses come before the final one; after 101 the rest is another protocol', async (t) => {
  t.strictSame(whole('HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), [
    '103 Early ["Link","a"]',
    '200 OK ["Content-Length","0"] reusable length 0',
    'body "" []',
  ]);
  t.strictSame(whole('HTTP/1.1 101 Go\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\nraw', 'GET', false), [
    '101 Go ["Upgrade","x","Content-Length","0"]',
    'switched "raw"',
  ]);
});

t.test('reads what Keep-Alive offers, of each server its own', async (t) => {
  const seconds: (number | undefined)[] = [];
  const parser = new ResponseParser(({ block }) => seconds.push(block.keepAliveSeconds), { onChunk() {}, onEnd() {} });
  for (const value of ['timeout=5', 'timeout=5', 'max=2, timeout=70', 'x', 'timeout=5']) {
    parser.reset('GET');
    parser.push(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: ${value}\r\n\r\n`), 0);
  }
  t.strictSame(seconds, [5, 5, 70, undefined, 5]);
});

t.test('refuses bytes that no request has asked for', async (t) => {
  const parser = new ResponseParser(() => {}, { onChunk() {}, onEnd() {} });
  const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  t.throws(() => parser.push(answer, 0), ProtocolError, 'before the first request');
  parser.reset('GET');
  t.equal(parser.push(answer, 0), answer.length);
  t.throws(() => parser.push(answer, 0), ProtocolError, 'behind the answer');
});

for (const { title, bytes, method, expected } of RESPONSE_ATTACKS) {
  t.test(`the parser ${title}`, async (t) => {
    const lines = whole(bytes, method);
    if (typeof expected !== 'string') t.strictSame(lines, expected);
    else t.equal(lines.at(-1)?.split(':', 1)[0], expected);
  });
}

t.test('wherever an answer is split, the same is made of it', async (t) => {
  const more = [
    'HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nX: 1\r\n\r\n',
    'HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\nraw\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
  ];
  for (const { bytes, method } of [...RESPONSE_ATTACKS, ...more.map((bytes) => ({ bytes, method: 'GET' }))]) {
    if (bytes.length > 2_000) continue;
    const buffer = Buffer.from(bytes, 'latin1');
    const expected = readResponse([buffer], method).join('\n');
    for (const pieces of splits(buffer)) {
      const actual = readResponse(pieces, method).join('\n');
      if (actual !== expected) t.equal(actual, expected, JSON.stringify(bytes));
    }
  }
});

t.test('valid answers are read as they were made, wherever they are split', async () => {
  fc.assert(
    fc.property(responseStream, fc.array(fc.nat(1_000), { maxLength: 6 }), ({ bytes, expected }, places) => {
      return JSON.stringify(readResponse(cutAt(bytes, places))) === JSON.stringify(expected);
    }),
    { numRuns: 1_000 },
  );
});

t.test('whatever becomes of an answer by mutation, all splits of it are read alike', async () => {
  fc.assert(
    fc.property(mutatedBytes(responseStream), fc.array(fc.nat(500), { maxLength: 3 }), (bytes, places) => {
      const expected = readResponse([bytes]).join('\n');
      const single = readResponse([...bytes].map((byte) => Buffer.of(byte))).join('\n');
      return single === expected && readResponse(cutAt(bytes, places)).join('\n') === expected;
    }),
    { numRuns: 1_500 },
  );
});
