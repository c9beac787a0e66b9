import t from 'tap';
import { ProtocolError } from '#sidecar/http/h1/protocol-error.ts';
import { ResponseParser } from '#sidecar/http/h1/response-parser.ts';

/** What a parser made of the answer to `method`; `ends`: the connection ended after it. */
function read(pieces: readonly Buffer[], method = 'GET', ends = true): string[] {
  const events: string[] = [];
  let body = '';
  const parser = new ResponseParser(
    ({ head, isReusable }) =>
      events.push(`${head.status} ${head.reason} ${JSON.stringify(head.headers)}${isReusable ? ' reusable' : ''}`),
    {
      onChunk: (chunk) => {
        body += chunk.toString('latin1');
      },
      onEnd: (trailers) => events.push(`body ${JSON.stringify(body)} ${JSON.stringify(trailers)}`),
    },
  );
  parser.reset(method);
  try {
    for (const piece of pieces) {
      const stoppedAt = parser.push(piece, 0);
      if (stoppedAt === piece.length) continue;
      if (events.at(-1)?.startsWith('101')) events.push(`rest ${piece.toString('latin1', stoppedAt)}`);
      else parser.push(piece, stoppedAt);
    }
    if (ends && !parser.endOfInput()) events.push('broken off');
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    events.push(error.code);
  }
  return events;
}

const whole = (text: string, method?: string, ends?: boolean) => read([Buffer.from(text, 'latin1')], method, ends);

t.test('ends a body by length, chunks, status, method or the connection', async (t) => {
  t.strictSame(whole('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'), [
    '200 OK ["Content-Length","2"] reusable',
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
  t.equal(whole('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi').at(-1), 'broken off');
  t.equal(whole('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n').at(-1), 'broken off');
});

t.test('a connection is used again only where both sides know where the answer ended', async (t) => {
  const isReusable = (text: string) => whole(text)[0]?.endsWith('reusable');
  t.ok(isReusable('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
  t.notOk(isReusable('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'));
  t.notOk(isReusable('HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'));
  t.ok(isReusable('HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n'));
  t.notOk(isReusable('HTTP/1.1 200 OK\r\n\r\n'));
});

t.test('interim responses come before the final one; after 101 the rest is another protocol', async (t) => {
  t.strictSame(whole('HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), [
    '103 Early ["Link","a"]',
    '200 OK ["Content-Length","0"] reusable',
    'body "" []',
  ]);
  t.strictSame(whole('HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\nraw', 'GET', false), ['101 Go ["Upgrade","x"]', 'rest raw']);
  t.equal(whole('HTTP/1.1 103 Early\r\n\r\n'.repeat(20)).at(-1), 'malformed_request', 'not without end');
});

t.test('refuses what could be read in two ways', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['data after the end', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n'],
    ['data after a 204', 'HTTP/1.1 204 No\r\n\r\nhi'],
    [
      'Content-Length with Transfer-Encoding',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi'],
    ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n'],
    ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
    ['a split header', 'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n'],
    ['no status', 'HTTP/1.1 OK\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['another protocol', 'ICY 200 OK\r\n\r\n'],
    ['HTTP/2 in words', 'HTTP/2 200 OK\r\n\r\n'],
    ['Transfer-Encoding on HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ];
  for (const [title, bytes] of cases) t.equal(whole(bytes).at(-1), 'malformed_request', title);
});

t.test('reads the same wherever the bytes are split', async (t) => {
  const texts = [
    'HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: 1\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    'HTTP/1.1 200 OK\r\n\r\nto the end',
  ];
  for (const text of texts) {
    const bytes = Buffer.from(text, 'latin1');
    const expected = read([bytes]);
    for (let split = 1; split < bytes.length; split++) {
      t.strictSame(read([bytes.subarray(0, split), bytes.subarray(split)]), expected, `${split}`);
    }
  }
});
