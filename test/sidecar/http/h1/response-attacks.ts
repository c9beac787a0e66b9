/**
 * What an app or a peer may answer to make two readers see two answers: response splitting, desynchronized pools,
 * bodies where none may be.
 */
export interface ResponseAttack {
  readonly title: string;
  readonly bytes: string;
  readonly method?: 'HEAD';
  /** The code of the refusal, or the lines of readResponse. */
  readonly expected: 'ambiguous_framing' | 'malformed_request' | 'header_block_too_large' | readonly string[];
  /** Status that the caller is told through a pair of sidecars; undefined: a server fault, or an answer without an end. */
  readonly told: number | undefined;
  /** The app ends its connection behind the bytes; else it keeps it open, for whoever may be next. */
  readonly ends?: true;
}

export const SMUGGLED_TEXT = 'smuggled';
const SMUGGLED = `HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n${SMUGGLED_TEXT}`;
const OK = 'HTTP/1.1 200 OK\r\n';
const ENDED = '0\r\n\r\n';

const REFUSED_HEADS: readonly (readonly [
  title: string,
  bytes: string,
  code: 'ambiguous_framing' | 'malformed_request',
])[] = [
  [
    'a length and chunks',
    `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${ENDED}${SMUGGLED}`,
    'ambiguous_framing',
  ],
  ['two lengths', `${OK}Content-Length: 0\r\nContent-Length: 5\r\n\r\n${SMUGGLED}`, 'ambiguous_framing'],
  ['a list of lengths', `${OK}Content-Length: 5, 5\r\n\r\n${SMUGGLED}`, 'ambiguous_framing'],
  ['a signed length', `${OK}Content-Length: +5\r\n\r\n${SMUGGLED}`, 'ambiguous_framing'],
  ['another coding', `${OK}Transfer-Encoding: gzip\r\n\r\n${SMUGGLED}`, 'ambiguous_framing'],
  ['identity', `${OK}Transfer-Encoding: identity\r\n\r\n${SMUGGLED}`, 'ambiguous_framing'],
  [
    'chunks on HTTP/1.0',
    `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${ENDED}${SMUGGLED}`,
    'ambiguous_framing',
  ],
  ['a folded coding', `${OK}Transfer-Encoding:\r\n chunked\r\n\r\n${ENDED}`, 'ambiguous_framing'],
  ['a disguised length', `${OK}Content_Length: 5\r\n\r\n${SMUGGLED}`, 'ambiguous_framing'],
  ['a space before the colon', `${OK}Content-Length : 0\r\n\r\n${SMUGGLED}`, 'ambiguous_framing'],
  ['a header split by a bare CR', `${OK}X: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n`, 'ambiguous_framing'],
  ['a header split by a bare LF', `${OK}X: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n`, 'ambiguous_framing'],
  ['a status line that ends in LF', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n', 'ambiguous_framing'],
  ['a reason with a bare CR', 'HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n', 'ambiguous_framing'],
  ['a NUL in a value', `${OK}X: a\0b\r\nContent-Length: 0\r\n\r\n`, 'malformed_request'],
  ['a name that is no token', `${OK}X Y: a\r\nContent-Length: 0\r\n\r\n`, 'malformed_request'],
  ['no status', 'HTTP/1.1 OK\r\n\r\n', 'malformed_request'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', 'malformed_request'],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n', 'malformed_request'],
  ['a status below 100', 'HTTP/1.1 099 OK\r\n\r\n', 'malformed_request'],
  ['a signed status', 'HTTP/1.1 +20 OK\r\n\r\n', 'malformed_request'],
  ['two spaces before the status', 'HTTP/1.1  200 OK\r\n\r\n', 'malformed_request'],
  ['another protocol', 'ICY 200 OK\r\n\r\n', 'malformed_request'],
  ['HTTP/2 in words', 'HTTP/2 200 OK\r\n\r\n', 'malformed_request'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n', 'malformed_request'],
  ['HTTP/0.9: a body alone', '<html>\r\n\r\n', 'malformed_request'],
  ['an empty line before the status line', `\r\n${OK}Content-Length: 0\r\n\r\n`, 'malformed_request'],
  [
    'an interim response with a length',
    `HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\nhello${SMUGGLED}`,
    'ambiguous_framing',
  ],
  [
    'an interim response in chunks',
    `HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n${ENDED}${SMUGGLED}`,
    'ambiguous_framing',
  ],
  ['interim responses without end', 'HTTP/1.1 103 Early\r\n\r\n'.repeat(20), 'malformed_request'],
];

const lines = (...all: string[]) => all;

export const RESPONSE_ATTACKS: readonly ResponseAttack[] = [
  ...REFUSED_HEADS.map(([title, bytes, expected]) => ({ title: `refuses ${title}`, bytes, expected, told: 502 })),
  {
    title: 'refuses a header block that is too long',
    bytes: `${OK}X: ${'a'.repeat(70_000)}\r\n\r\n`,
    expected: 'header_block_too_large',
    told: 502,
  },
  {
    title: 'refuses a second response behind the first',
    bytes: `${OK}Content-Length: 2\r\n\r\nhi${SMUGGLED}`,
    expected: 'malformed_request',
    told: 200,
  },
  {
    title: 'refuses a body behind a 204',
    bytes: `HTTP/1.1 204 No\r\n\r\n${SMUGGLED}`,
    expected: 'malformed_request',
    told: 204,
  },
  {
    title: 'refuses a body that a 204 declares',
    bytes: `HTTP/1.1 204 No\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    expected: 'malformed_request',
    told: 204,
  },
  {
    title: 'refuses a body behind a 304',
    bytes: `HTTP/1.1 304 No\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    expected: 'malformed_request',
    told: 304,
  },
  {
    title: 'refuses a body in answer to HEAD',
    method: 'HEAD',
    bytes: `${OK}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    expected: 'malformed_request',
    told: 200,
  },
  {
    title: 'refuses a bad chunk size',
    bytes: `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n+0\r\n\r\n${SMUGGLED}`,
    expected: 'ambiguous_framing',
    told: undefined,
  },
  {
    title: 'refuses a bare LF in chunks',
    bytes: `${OK}Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n${ENDED}${SMUGGLED}`,
    expected: 'ambiguous_framing',
    told: undefined,
  },
  {
    title: 'refuses a length in the trailers',
    bytes: `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n${SMUGGLED}`,
    expected: 'ambiguous_framing',
    told: undefined,
  },
  {
    title: 'reads a 204 that declares a body as one without, and lets the connection go',
    bytes: 'HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n',
    expected: lines('204 No ["Content-Length","5"]', 'body "" []'),
    told: 204,
  },
  {
    title: 'reads a 204 that says in so many words that it has no body',
    bytes: 'HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n',
    expected: lines('204 No ["Content-Length","0"] reusable length 0', 'body "" []').map((line) =>
      line.replace(' length 0', ''),
    ),
    told: 204,
  },
  {
    title: 'reads a response within a body as body',
    bytes: `${OK}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    expected: lines(
      `200 OK ["Content-Length","${SMUGGLED.length}"] reusable length ${SMUGGLED.length}`,
      `body ${JSON.stringify(SMUGGLED)} []`,
    ),
    told: 200,
  },
  {
    title: 'reads all behind a response without a length as its body',
    ends: true,
    bytes: `${OK}\r\n${SMUGGLED}`,
    expected: lines('200 OK []', `body ${JSON.stringify(SMUGGLED)} []`),
    told: 200,
  },
  {
    title: 'sees that a body is shorter than its length',
    ends: true,
    bytes: `${OK}Content-Length: 5\r\n\r\nhi`,
    expected: lines('200 OK ["Content-Length","5"] reusable length 5', 'broken off', 'body "hi"'),
    told: undefined,
  },
  {
    title: 'sees that chunks have no end',
    ends: true,
    bytes: `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n`,
    expected: lines('200 OK ["Transfer-Encoding","chunked"] reusable', 'broken off', 'body "hi"'),
    told: undefined,
  },
];
