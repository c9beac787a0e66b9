import fc from 'fast-check';
import t from 'tap';
import { MAX_HEADER_BYTES } from '#sidecar/http/h1/head-collector.ts';
import { ProtocolError } from '#sidecar/http/h1/protocol-error.ts';
import { RequestParser } from '#sidecar/http/h1/request-parser.ts';

/** What a parser made of bytes that came in these pieces: requests with their bodies, or the refusal. */
function read(pieces: readonly Buffer[]): string[] {
  const events: string[] = [];
  let body = '';
  let isBodiless = false;
  const parser = new RequestParser(
    ({ head, hasBody }) => {
      events.push(`${head.method} ${head.target} ${head.version} ${JSON.stringify(head.headers)}`);
      isBodiless = !hasBody;
    },
    {
      onChunk: (chunk) => {
        body += chunk.toString('latin1');
      },
      onEnd: (trailers) => {
        events.push(`body ${JSON.stringify(body)} trailers ${JSON.stringify(trailers)}`);
        body = '';
        isBodiless = true;
      },
    },
  );
  try {
    for (const piece of pieces) {
      let at = 0;
      while (at < piece.length) {
        const next = parser.push(piece, at);
        if (isBodiless) {
          parser.next(); // the answer is given at once
          isBodiless = false;
        } else if (next === at) break;
        at = next;
      }
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    events.push(error.code);
  }
  return events;
}

const whole = (text: string) => read([Buffer.from(text, 'latin1')]);
const HOST = 'Host: a\r\n';

t.test('reads requests: order, case and repetition of headers, bodies by length and in chunks, trailers', async (t) => {
  t.strictSame(whole(`GET /a?b=1 HTTP/1.1\r\n${HOST}X-B: 1 \r\nx-a:\t2\r\nX-B:\r\n\r\n`), [
    'GET /a?b=1 1.1 ["Host","a","X-B","1","x-a","2","X-B",""]',
  ]);
  t.strictSame(whole(`POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`).at(-1), 'body "hello" trailers []');
  const chunked = `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A;ext="v"\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n`;
  t.strictSame(whole(chunked).at(-1), 'body "abc0123456789" trailers ["X-T","1"]');
  t.strictSame(whole('GET / HTTP/1.0\r\n\r\n'), ['GET / 1.0 []']);
  t.strictSame(whole(`\r\nGET / HTTP/1.1\r\n${HOST}\r\n`), ['GET / 1.1 ["Host","a"]'], 'one empty line before');
  const two = `GET /1 HTTP/1.1\r\n${HOST}\r\nPOST /2 HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\n${HOST}\r\n`;
  t.strictSame(
    whole(two).map((event) => event.split(' ').slice(0, 2).join(' ')),
    ['GET /1', 'POST /2', 'body "hi"', 'GET /3'],
    'pipelined, in order',
  );
});

const REFUSED: readonly (readonly [title: string, bytes: string])[] = [
  [
    'Content-Length beside Transfer-Encoding',
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    'the same in the other order',
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n`,
  ],
  ['two differing lengths', `POST / HTTP/1.1\r\n${HOST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`],
  ['two lengths in one field', `POST / HTTP/1.1\r\n${HOST}Content-Length: 3, 3\r\n\r\nabc`],
  ['a signed length', `POST / HTTP/1.1\r\n${HOST}Content-Length: +3\r\n\r\nabc`],
  ['a negative length', `POST / HTTP/1.1\r\n${HOST}Content-Length: -3\r\n\r\nabc`],
  ['a length in hex', `POST / HTTP/1.1\r\n${HOST}Content-Length: 0x3\r\n\r\nabc`],
  ['a length with a space in it', `POST / HTTP/1.1\r\n${HOST}Content-Length: 1 3\r\n\r\nabc`],
  ['an empty length', `POST / HTTP/1.1\r\n${HOST}Content-Length: \r\n\r\n`],
  ['a length beyond counting', `POST / HTTP/1.1\r\n${HOST}Content-Length: 99999999999999999999\r\n\r\n`],
  ['a folded header', `GET / HTTP/1.1\r\n${HOST}X-A: 1\r\n 2\r\n\r\n`],
  ['a folded header by tab', `GET / HTTP/1.1\r\n${HOST}X-A: 1\r\n\t2: 3\r\n\r\n`],
  ['a space before the colon', `POST / HTTP/1.1\r\n${HOST}Content-Length : 3\r\n\r\nabc`],
  ['a tab before the colon', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n`],
  ['a header without a colon', `GET / HTTP/1.1\r\n${HOST}nonsense\r\n\r\n`],
  ['a header without a name', `GET / HTTP/1.1\r\n${HOST}: 1\r\n\r\n`],
  ['a bare LF', `GET / HTTP/1.1\n${HOST}\r\n`],
  ['a bare LF within the block', `GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n`],
  ['a bare CR', `GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n`],
  ['a NUL in a value', `GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n`],
  ['a NUL in a name', `GET / HTTP/1.1\r\nHo\0st: a\r\n\r\n`],
  ['a control character', `GET / HTTP/1.1\r\n${HOST}X: \x01\r\n\r\n`],
  ['Transfer-Encoding on HTTP/1.0', `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['another coding', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip\r\n\r\n`],
  ['a list of codings', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['identity', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: identity\r\n\r\n`],
  [
    'chunked twice',
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  ['chunked with a parameter', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n`],
  ['chunked in disguise', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`],
  ['an invalid method', `G@T / HTTP/1.1\r\n${HOST}\r\n`],
  ['a method in lower case', `get / HTTP/1.1\r\n${HOST}\r\n`],
  ['CONNECT', `CONNECT a:443 HTTP/1.1\r\n${HOST}\r\n`],
  ['HTTP/0.9', 'GET /\r\n\r\n'],
  ['HTTP/2 in words', `GET / HTTP/2.0\r\n${HOST}\r\n`],
  ['HTTP/1.2', `GET / HTTP/1.2\r\n${HOST}\r\n`],
  ['two spaces in the request line', `GET  / HTTP/1.1\r\n${HOST}\r\n`],
  ['a space in the target', `GET /a b HTTP/1.1\r\n${HOST}\r\n`],
  ['a tab in the target', `GET /a\tb HTTP/1.1\r\n${HOST}\r\n`],
  ['a trailing space in the request line', `GET / HTTP/1.1 \r\n${HOST}\r\n`],
  ['a space before the request line', ` GET / HTTP/1.1\r\n${HOST}\r\n`],
  ['two empty lines before', `\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\n`],
];

const CHUNKED = `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`;
const REFUSED_CHUNKS: readonly (readonly [title: string, bytes: string])[] = [
  ['a signed size', '+3\r\nabc\r\n0\r\n\r\n'],
  ['a negative size', '-3\r\nabc\r\n0\r\n\r\n'],
  ['a size with 0x', '0x3\r\nabc\r\n0\r\n\r\n'],
  ['a size beyond counting', 'fffffffffffffffff\r\nabc'],
  ['a space after the size', '3 \r\nabc\r\n0\r\n\r\n'],
  ['a space before the size', ' 3\r\nabc\r\n0\r\n\r\n'],
  ['a space before an extension', '3 ;a=b\r\nabc\r\n0\r\n\r\n'],
  ['an empty size', '\r\nabc\r\n0\r\n\r\n'],
  ['a bare LF after the size', '3\nabc\r\n0\r\n\r\n'],
  ['a bare LF after the data', '3\r\nabc\n0\r\n\r\n'],
  ['a chunk longer than its size', '3\r\nabcd\r\n0\r\n\r\n'],
  ['extensions without end', `3;${'a'.repeat(300)}\r\nabc\r\n0\r\n\r\n`],
  ['a control character in an extension', '3;a=\x00\r\nabc\r\n0\r\n\r\n'],
  ['Content-Length in the trailers', '3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n'],
  ['Host in the trailers', '3\r\nabc\r\n0\r\nHost: b\r\n\r\n'],
  ['a bare LF in the trailers', '3\r\nabc\r\n0\r\nX: 1\nY: 2\r\n\r\n'],
  ['trailers without end', `3\r\nabc\r\n0\r\n${'X: 1\r\n'.repeat(4_000)}`],
];

t.test('refuses every message that two readers could read in two ways', async (t) => {
  for (const [title, bytes] of REFUSED) t.equal(whole(bytes).at(-1), 'malformed_request', title);
  for (const [title, bytes] of REFUSED_CHUNKS) t.equal(whole(CHUNKED + bytes).at(-1), 'malformed_request', title);
});

t.test('refuses a header block over its limits with a code of its own', async (t) => {
  t.equal(whole(`GET / HTTP/1.1\r\nX: ${'a'.repeat(MAX_HEADER_BYTES)}\r\n\r\n`).at(-1), 'header_block_too_large');
  t.equal(
    whole(`GET / HTTP/1.1\r\nX: ${'a'.repeat(MAX_HEADER_BYTES)}`).at(-1),
    'header_block_too_large',
    'also before its end',
  );
  t.equal(whole(`GET / HTTP/1.1\r\n${'X: 1\r\n'.repeat(300)}\r\n`).at(-1), 'header_block_too_large', 'too many fields');
});

t.test('reads the same wherever the bytes are split', async (t) => {
  const accepted = [
    `POST /a HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n${HOST}\r\n`,
    `${CHUNKED}3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\nGET /b HTTP/1.1\r\n${HOST}\r\n`,
  ];
  const all = [
    ...accepted,
    ...REFUSED.map(([, bytes]) => bytes),
    ...REFUSED_CHUNKS.slice(0, 16).map(([, bytes]) => CHUNKED + bytes),
  ];
  for (const text of all) {
    const bytes = Buffer.from(text, 'latin1');
    const expected = read([bytes]);
    for (let split = 1; split < bytes.length; split++) {
      const actual = read([bytes.subarray(0, split), bytes.subarray(split)]);
      if (JSON.stringify(actual) !== JSON.stringify(expected))
        t.strictSame(actual, expected, `${JSON.stringify(text)} split at ${split}`);
    }
    const single = read([...bytes].map((byte) => Buffer.of(byte)));
    t.strictSame(single, expected, JSON.stringify(text.slice(0, 60)));
  }
});

t.test('whatever comes, the parser reads it or refuses it', async () => {
  const alphabet = fc.constantFrom(
    'GET',
    'POST',
    ' ',
    '/',
    'HTTP/1.1',
    '\r\n',
    '\n',
    '\r',
    ':',
    'Host',
    'Content-Length',
    'Transfer-Encoding',
    'chunked',
    '0',
    '3',
    'a',
    ';',
    '\0',
    '\x80',
    ',',
    '\t',
    '\r\n\r\n',
  );
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 40 }), fc.array(fc.nat(200), { maxLength: 4 }), (words, cuts) => {
      const bytes = Buffer.from(words.join(''), 'latin1');
      const places = [...new Set(cuts.map((cut) => Math.min(cut, bytes.length)))].sort((left, right) => left - right);
      const pieces = [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
      const split = read(pieces);
      const joined = read([bytes]);
      // one may have refused earlier than the other, never read something else
      const length = Math.min(split.length, joined.length);
      return JSON.stringify(split.slice(0, length)) === JSON.stringify(joined.slice(0, length));
    }),
    { numRuns: 3_000 },
  );
});
