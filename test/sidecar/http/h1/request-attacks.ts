/**
 * Request smuggling, family by family: what is sent, and what must be made of it. Sources: the http-garden's
 * catalogue, PortSwigger's research (CL.TE to 0.CL, TE obfuscation, Expect), the TERM.EXT and SPILL families of
 * chunk extensions, CVEs of other servers where one is named.
 */
export interface RequestAttack {
  /** A sentence: `refuses …` or `reads …`. */
  readonly title: string;
  readonly bytes: string;
  /**
   * What the parser makes of it: the code of a refusal, or each request as `METHOD target body`. Behind a refusal
   * in a body its request has begun, and the app may see it break off.
   */
  readonly expected: RefusalCode | readonly string[];
  /** The parser reads it, a stage behind it (`accept`) refuses with this code. */
  readonly stage?: 'malformed_request' | 'ambiguous_path';
}

type RefusalCode = 'ambiguous_framing' | 'malformed_request' | 'header_block_too_large';

/** What an attacker wants the app to see: in no test may it. */
export const SMUGGLED_PATH = '/smuggled';
const SMUGGLED = `GET ${SMUGGLED_PATH} HTTP/1.1\r\nHost: server.test\r\n\r\n`;
const HOST = 'Host: server.test\r\n';

/** A POST with these header lines, each with its CRLF, and what comes behind the empty line. */
function post(lines: string, rest = '', version = '1.1'): string {
  return `POST /attack HTTP/${version}\r\n${HOST}${lines}\r\n${rest}`;
}

function get(lines: string, rest = ''): string {
  return `GET /attack HTTP/1.1\r\n${HOST}${lines}\r\n${rest}`;
}

/** A chunked body, and a request behind it. */
function chunked(body: string, rest = SMUGGLED): string {
  return post('Transfer-Encoding: chunked\r\n', body + rest);
}

const ENDED = '0\r\n\r\n';
const LENGTH_OF_SMUGGLED = SMUGGLED.length;
const ambiguous = (title: string, bytes: string): RequestAttack => ({ title, bytes, expected: 'ambiguous_framing' });
const malformed = (title: string, bytes: string): RequestAttack => ({ title, bytes, expected: 'malformed_request' });

const LENGTH_AND_CODING: readonly RequestAttack[] = [
  ambiguous(
    'refuses CL.TE: a length and chunks',
    post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', `${ENDED}${SMUGGLED}`),
  ),
  ambiguous(
    'refuses TE.CL: chunks and a length',
    post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `5c\r\n${SMUGGLED}\r\n${ENDED}`),
  ),
  ambiguous(
    'refuses a length of 0 beside chunks',
    post(`Content-Length: 0\r\nTransfer-Encoding: chunked\r\n`, `${ENDED}${SMUGGLED}`),
  ),
  ambiguous(
    'refuses chunks beside a length that Connection names',
    post('Connection: Content-Length\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n', `${ENDED}${SMUGGLED}`),
  ),
  ambiguous(
    'refuses chunks on HTTP/1.0',
    post('Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n', `${ENDED}${SMUGGLED}`, '1.0'),
  ),
];

const LENGTHS: readonly RequestAttack[] = [
  ['two differing lengths', 'Content-Length: 0\r\nContent-Length: 5\r\n'],
  ['two lengths that agree', 'Content-Length: 5\r\nContent-Length: 5\r\n'],
  ['a list of lengths that agree', 'Content-Length: 5, 5\r\n'],
  ['a list of lengths that differ', 'Content-Length: 0, 5\r\n'],
  ['a list with an empty member', 'Content-Length: 5,\r\n'],
  ['a list that begins empty', 'Content-Length: ,5\r\n'],
  ['an empty length', 'Content-Length:\r\n'],
  ['an empty length and a good one', 'Content-Length: \r\nContent-Length: 5\r\n'],
  ['a length with a plus', 'Content-Length: +5\r\n'],
  ['a length with a minus', 'Content-Length: -5\r\n'],
  ['a length in hex', 'Content-Length: 0x5\r\n'],
  ['a length with an underscore', 'Content-Length: 0_5\r\n'],
  ['a length with a fraction', 'Content-Length: 5.0\r\n'],
  ['a length with an exponent', 'Content-Length: 5e0\r\n'],
  ['a length with a space in it', 'Content-Length: 0 5\r\n'],
  ['a length in quotes', 'Content-Length: "5"\r\n'],
  ['a length with words behind it', 'Content-Length: 5 bytes\r\n'],
  ['a length with a parameter', 'Content-Length: 5;a=b\r\n'],
  ['a length in superscript digits', 'Content-Length: \xb9\r\n'],
  ['a length beyond 2^53', 'Content-Length: 9007199254740993\r\n'],
  ['a length that wraps in 64 bits', 'Content-Length: 18446744073709551621\r\n'],
  ['a length of many zeros', `Content-Length: ${'0'.repeat(64)}5\r\n`],
  ['a length folded over a line', 'Content-Length:\r\n 5\r\n'],
  ['a length whose name has an underscore', 'Content_Length: 5\r\n'],
  ['a length with a space before the colon', 'Content-Length : 5\r\n'],
  ['a length with a tab before the colon', 'Content-Length\t: 5\r\n'],
  ['a length behind a space at the beginning of its line', 'X-A: 1\r\n Content-Length: 5\r\n'],
].map(([title = '', lines = '']) => ambiguous(`refuses ${title}`, post(lines, `GET /s${SMUGGLED}`)));

const CODINGS: readonly RequestAttack[] = [
  ['an unknown coding', 'Transfer-Encoding: xchunked\r\n'],
  ['chunked with a tail', 'Transfer-Encoding: chunkedx\r\n'],
  ['a list that ends in chunked', 'Transfer-Encoding: gzip, chunked\r\n'],
  ['a list that does not end in chunked', 'Transfer-Encoding: chunked, identity\r\n'],
  ['chunked twice in one field', 'Transfer-Encoding: chunked, chunked\r\n'],
  ['chunked twice in two fields', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'],
  ['chunked, then another field', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n'],
  ['another field, then chunked', 'Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n'],
  ['an empty coding', 'Transfer-Encoding:\r\n'],
  ['an empty coding beside chunked', 'Transfer-Encoding: \r\nTransfer-Encoding: chunked\r\n'],
  ['a comma before chunked', 'Transfer-Encoding: ,chunked\r\n'],
  ['a comma behind chunked', 'Transfer-Encoding: chunked,\r\n'],
  ['identity', 'Transfer-Encoding: identity\r\n'],
  ['chunked in quotes', 'Transfer-Encoding: "chunked"\r\n'],
  ['chunked in single quotes', "Transfer-Encoding: 'chunked'\r\n"],
  ['chunked with a parameter', 'Transfer-Encoding: chunked;q=1\r\n'],
  ['chunked folded over a line', 'Transfer-Encoding:\r\n chunked\r\n'],
  ['chunked folded with a tab', 'Transfer-Encoding:\r\n\tchunked\r\n'],
  ['chunked in a folded second line', 'Transfer-Encoding: x\r\n , chunked\r\n'],
  ['a folded line that looks like the field', 'X-A: 1\r\n Transfer-Encoding: chunked\r\n'],
  ['a first line that is folded', ' Transfer-Encoding: chunked\r\n'],
  ['a space before the colon', 'Transfer-Encoding : chunked\r\n'],
  ['a tab before the colon', 'Transfer-Encoding\t: chunked\r\n'],
  ['an underscore in the name', 'Transfer_Encoding: chunked\r\n'],
  ['a bare CR behind the colon', 'Transfer-Encoding:\rchunked\r\n'],
  ['a bare LF behind the colon', 'Transfer-Encoding:\nchunked\r\n'],
  ['a bare LF behind the value', 'Transfer-Encoding: chunked\nX: 1\r\n'],
  ['the field hidden behind a bare CR', 'X-A: 1\rTransfer-Encoding: chunked\r\n'],
  ['the field hidden behind a bare LF', 'X-A: 1\nTransfer-Encoding: chunked\r\n'],
  ['a name with a bare CR', 'Transfer-Enc\roding: chunked\r\n'],
  ['the Kelvin sign for a k', 'Transfer-Encoding: chun\xe2\x84\xaaed\r\n'],
  ['chunked with a no-break space', 'Transfer-Encoding: \xa0chunked\r\n'],
].map(([title = '', lines = '']) =>
  ambiguous(`refuses ${title} as Transfer-Encoding`, post(lines, `${ENDED}${SMUGGLED}`)),
);

const CHARACTERS: readonly RequestAttack[] = [
  ['a NUL in the name', 'Transfer-Encoding\0: chunked\r\n'],
  ['a NUL before the value', 'Transfer-Encoding: \0chunked\r\n'],
  ['a vertical tab before the value', 'Transfer-Encoding: \x0bchunked\r\n'],
  ['a form feed behind the value', 'Transfer-Encoding: chunked\x0c\r\n'],
  ['a DEL in a value', 'X-A: a\x7fb\r\n'],
  ['an escape in a value', 'X-A: \x1b[2J\r\n'],
  ['obs-text in a name', 'Transfer-Encoding\xa0: chunked\r\n'],
  ['a soft hyphen in a name', 'Transfer\xadEncoding: chunked\r\n'],
  ['a slash in a name', 'Transfer/Encoding: chunked\r\n'],
  ['a bracket in a name', '[Transfer-Encoding]: chunked\r\n'],
  ['a quote in a name', '"Transfer-Encoding": chunked\r\n'],
  ['a name of nothing', ': chunked\r\n'],
  ['a space within a name', 'Transfer Encoding: chunked\r\n'],
].map(([title = '', lines = '']) => malformed(`refuses ${title}`, post(lines, `${ENDED}${SMUGGLED}`)));

const LINES: readonly RequestAttack[] = [
  ambiguous('refuses bare LF as the end of every line', `GET /attack HTTP/1.1\nHost: server.test\n\n${SMUGGLED}`),
  ambiguous('refuses a bare LF behind the request line', `GET /attack HTTP/1.1\n${HOST}\r\n${SMUGGLED}`),
  ambiguous('refuses a bare LF as the empty line', `GET /attack HTTP/1.1\r\n${HOST}\n${SMUGGLED}`),
  ambiguous('refuses LF CR', `GET /attack HTTP/1.1\r\n${HOST}\n\r\n${SMUGGLED}`),
  ambiguous('refuses CR CR LF', `GET /attack HTTP/1.1\r\nHost: server.test\r\r\n\r\n${SMUGGLED}`),
  ambiguous('refuses a bare CR in the target', `GET /attack\rx HTTP/1.1\r\n${HOST}\r\n`),
  ambiguous('refuses a bare CR behind the request line', `GET /attack HTTP/1.1\rX: 1\r\n${HOST}\r\n`),
  ambiguous('refuses a bare CR as the empty line', `GET /attack HTTP/1.1\r\n${HOST}\rX\r\n\r\n${SMUGGLED}`),
  ambiguous('refuses a header line without a colon', get('nonsense\r\n', SMUGGLED)),
  ambiguous('refuses a request line within the header block', get(`${SMUGGLED}`)),
  ambiguous('refuses a bare LF before the request line', `\nGET /attack HTTP/1.1\r\n${HOST}\r\n`),
];

const START_LINES: readonly RequestAttack[] = [
  ['HTTP/0.9', 'GET /attack\r\n\r\n'],
  ['HTTP/0.9 by its number', `GET /attack HTTP/0.9\r\n${HOST}\r\n`],
  ['HTTP/1.2', `GET /attack HTTP/1.2\r\n${HOST}\r\n`],
  ['HTTP/1.10', `GET /attack HTTP/1.10\r\n${HOST}\r\n`],
  ['HTTP/01.1', `GET /attack HTTP/01.1\r\n${HOST}\r\n`],
  ['HTTP/2.0 in words', `GET /attack HTTP/2.0\r\n${HOST}\r\n`],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a version in lower case', `GET /attack http/1.1\r\n${HOST}\r\n`],
  ['another protocol', `GET /attack HTCPCP/1.1\r\n${HOST}\r\n`],
  ['a method in lower case', `get /attack HTTP/1.1\r\n${HOST}\r\n`],
  ['a method with a bracket', `G[T /attack HTTP/1.1\r\n${HOST}\r\n`],
  ['a method with a NUL', `GET\0 /attack HTTP/1.1\r\n${HOST}\r\n`],
  ['a method that is too long', `${'A'.repeat(33)} /attack HTTP/1.1\r\n${HOST}\r\n`],
  ['no method', ` /attack HTTP/1.1\r\n${HOST}\r\n`],
  ['CONNECT', `CONNECT server.test:80 HTTP/1.1\r\n${HOST}\r\n${SMUGGLED}`],
  ['two spaces before the target', `GET  /attack HTTP/1.1\r\n${HOST}\r\n`],
  ['two spaces behind the target', `GET /attack  HTTP/1.1\r\n${HOST}\r\n`],
  ['a tab for a space', `GET\t/attack HTTP/1.1\r\n${HOST}\r\n`],
  ['a space behind the version', `GET /attack HTTP/1.1 \r\n${HOST}\r\n`],
  ['a space before the method', ` GET /attack HTTP/1.1\r\n${HOST}\r\n`],
  ['a space in the target', `GET /attack HTTP/1.1 HTTP/1.1\r\n${HOST}\r\n`],
  ['no target', `GET HTTP/1.1\r\n${HOST}\r\n`],
  ['a control character in the target', `GET /att\x01ack HTTP/1.1\r\n${HOST}\r\n`],
  ['a fragment in the target', `GET /attack#x HTTP/1.1\r\n${HOST}\r\n`],
  ['two empty lines before the request line', `\r\n\r\nGET /attack HTTP/1.1\r\n${HOST}\r\n`],
  ['an empty line of a space before the request line', ` \r\nGET /attack HTTP/1.1\r\n${HOST}\r\n`],
  ['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'],
].map(([title = '', bytes = '']) => malformed(`refuses ${title}`, bytes));

const CHUNKS: readonly RequestAttack[] = [
  ['a size with a plus', `+3\r\nabc\r\n${ENDED}`],
  ['a size with a minus', `-3\r\nabc\r\n${ENDED}`],
  ['a size with 0x', `0x3\r\nabc\r\n${ENDED}`],
  ['a size with an underscore', `0_3\r\nabc\r\n${ENDED}`],
  ['a size with a space before it', ` 3\r\nabc\r\n${ENDED}`],
  ['a size with a space behind it', `3 \r\nabc\r\n${ENDED}`],
  ['a size with a tab behind it', `3\t\r\nabc\r\n${ENDED}`],
  ['a size in quotes', `"3"\r\nabc\r\n${ENDED}`],
  ['a size with a NUL', `3\0\r\nabc\r\n${ENDED}`],
  ['a size with an h', `3h\r\nabc\r\n${ENDED}`],
  ['no size', `\r\nabc\r\n${ENDED}`],
  ['no size but an extension', `;a=b\r\nabc\r\n${ENDED}`],
  ['a size that wraps in 32 bits and is not over yet', `100000000000003\r\nabc\r\n${ENDED}`],
  ['a size that wraps in 64 bits', `10000000000000003\r\nabc\r\n${ENDED}`],
  ['a size of many zeros', `${'0'.repeat(300)}3\r\nabc\r\n${ENDED}`],
  ['a bare LF behind a size', `3\nabc\r\n${ENDED}`],
  ['a bare CR behind a size', `3\rabc\r\n${ENDED}`],
  ['CR CR LF behind a size', `3\r\r\nabc\r\n${ENDED}`],
  ['a bare LF behind the data', `3\r\nabc\n${ENDED}`],
  ['no line end behind the data', `3\r\nabc${ENDED}`],
  ['two wrong bytes behind the data', `3\r\nabcXX${ENDED}`],
  ['data longer than its size', `3\r\nabcd\r\n${ENDED}`],
  ['data shorter than its size', `5\r\nabc\r\n${ENDED}`],
  ['TERM.EXT: a bare LF in an extension', `3;\nxx\r\nabc\r\n${ENDED}`],
  ['EXT.TERM: a bare LF at the end of an extension', `3;a=b\nabc\r\n${ENDED}`],
  ['a bare CR in an extension', `3;a\rb\r\nabc\r\n${ENDED}`],
  ['SPILL: data that reads as a size and a request', `5;a=b\r\nX\r\n0\r\n\r\n`],
  ['an extension without a name', `3;\r\nabc\r\n${ENDED}`],
  ['an extension without a value', `3;a=\r\nabc\r\n${ENDED}`],
  ['an extension with an open quote', `3;a="b\r\nabc\r\n${ENDED}`],
  ['an extension with a line end in its quotes', `3;a="\r\n"\r\nabc\r\n${ENDED}`],
  ['an extension with a NUL', `3;a=\0\r\nabc\r\n${ENDED}`],
  ['an extension behind a space', `3 ;a=b\r\nabc\r\n${ENDED}`],
  ['an extension of too many bytes', `3;${'a'.repeat(300)}\r\nabc\r\n${ENDED}`],
  ['extensions of too many bytes together', `${`1;${'a'.repeat(250)}\r\nx\r\n`.repeat(70)}${ENDED}`],
  ['a bare LF behind the last chunk', `3\r\nabc\r\n0\n\r\n`],
  ['a bare LF as the end of the body', '3\r\nabc\r\n0\r\n\n'],
  ['a bare CR as the end of the body', '3\r\nabc\r\n0\r\n\rX'],
  ['a request where trailers are due', `3\r\nabc\r\n0\r\n`],
].map(([title = '', body = '']) => ambiguous(`refuses ${title} in a chunked body`, chunked(body)));

const TRAILERS: readonly RequestAttack[] = [
  ...[
    'Content-Length: 5',
    'Transfer-Encoding: chunked',
    'Host: other.test',
    'Authorization: x',
    'Connection: close',
    'Content_Length: 5',
  ].map((line) => ambiguous(`refuses ${line} in the trailers`, chunked(`3\r\nabc\r\n0\r\n${line}\r\n\r\n`))),
  ambiguous('refuses a bare LF in the trailers', chunked('3\r\nabc\r\n0\r\nX: 1\nY: 2\r\n\r\n')),
  ambiguous('refuses a folded line in the trailers', chunked('3\r\nabc\r\n0\r\nX: 1\r\n 2\r\n\r\n')),
  malformed('refuses a NUL in the trailers', chunked('3\r\nabc\r\n0\r\nX: \0\r\n\r\n')),
  {
    title: 'refuses trailers without end',
    bytes: chunked(`3\r\nabc\r\n0\r\n${'X: 1\r\n'.repeat(4_000)}`),
    expected: 'header_block_too_large',
  },
];

const SIZES: readonly RequestAttack[] = [
  {
    title: 'refuses a header block that is too long',
    bytes: get(`X: ${'a'.repeat(70_000)}\r\n`),
    expected: 'header_block_too_large',
  },
  {
    title: 'refuses a header block without end',
    bytes: `GET /attack HTTP/1.1\r\nX: ${'a'.repeat(70_000)}`,
    expected: 'header_block_too_large',
  },
  { title: 'refuses too many header fields', bytes: get('X: 1\r\n'.repeat(300)), expected: 'header_block_too_large' },
];

/** What is well-formed is read as the one thing it is. */
const READ: readonly RequestAttack[] = [
  {
    title: 'reads CL.0: a request as the body of a GET',
    bytes: get(`Content-Length: ${LENGTH_OF_SMUGGLED}\r\n`, SMUGGLED),
    expected: [`GET /attack ${SMUGGLED}`],
  },
  {
    title: 'reads CL.0 in the guise of a static file',
    bytes: post(`Content-Length: ${LENGTH_OF_SMUGGLED}\r\n`, SMUGGLED).replace('/attack', '/attack.css'),
    expected: [`POST /attack.css ${SMUGGLED}`],
  },
  {
    title: 'reads TE.0: a request as the chunk of an OPTIONS',
    bytes: chunked(`${LENGTH_OF_SMUGGLED.toString(16)}\r\n${SMUGGLED}\r\n${ENDED}`, '').replace('POST', 'OPTIONS'),
    expected: [`OPTIONS /attack ${SMUGGLED}`],
  },
  {
    title: 'reads 0.CL by way of Expect: the length holds, whatever is expected',
    bytes: post(`Expect: x 100-continue\r\nContent-Length: ${LENGTH_OF_SMUGGLED}\r\n`, SMUGGLED),
    expected: [`POST /attack ${SMUGGLED}`],
  },
  ...['100-continue', '100-Continue', '100-continue, x', 'x', ''].map((value) => ({
    title: `reads the body of a request that expects ${JSON.stringify(value)}`,
    bytes: post(`Expect: ${value}\r\nContent-Length: ${LENGTH_OF_SMUGGLED}\r\n`, SMUGGLED),
    expected: [`POST /attack ${SMUGGLED}`],
  })),
  {
    title: 'reads a length that Connection nominates',
    bytes: post(`Connection: Content-Length\r\nContent-Length: ${LENGTH_OF_SMUGGLED}\r\n`, SMUGGLED),
    expected: [`POST /attack ${SMUGGLED}`],
  },
  {
    title: 'reads a coding that Connection nominates',
    bytes: post(
      'Connection: Transfer-Encoding, Host\r\nTransfer-Encoding: chunked\r\n',
      `${LENGTH_OF_SMUGGLED.toString(16)}\r\n${SMUGGLED}\r\n${ENDED}`,
    ),
    expected: [`POST /attack ${SMUGGLED}`],
  },
  {
    title: 'reads a length with leading zeros as a decimal',
    bytes: post('Content-Length: 0010\r\n', '0123456789'),
    expected: ['POST /attack 0123456789'],
  },
  {
    title: 'reads a chunk size with leading zeros as hex',
    bytes: chunked(`00010\r\n0123456789abcdef\r\n000\r\n\r\n`, ''),
    expected: ['POST /attack 0123456789abcdef'],
  },
  {
    title: 'reads the coding in any case, with any blanks around it',
    bytes: post('tRANSFER-eNCODING:\t ChunKed \t\r\n', `3\r\nabc\r\n${ENDED}`),
    expected: ['POST /attack abc'],
  },
  {
    title: 'reads a chunk that looks like the end of a chunked body',
    bytes: chunked(`5\r\n${ENDED}\r\n${ENDED}`, ''),
    expected: [`POST /attack ${ENDED}`],
  },
  {
    title: 'reads extensions of chunks and of the last one, and drops them',
    bytes: chunked('3;a;b=c;d="e\\"\t;f"\r\nabc\r\n0;g=1\r\n\r\n', ''),
    expected: ['POST /attack abc'],
  },
  {
    title: 'reads trailers, and merges none of them',
    bytes: chunked('3\r\nabc\r\n0\r\nX-Forwarded-Client-Cert: URI=spiffe://a\r\nX-T: 1\r\n\r\n', ''),
    expected: ['POST /attack abc'],
  },
  {
    title: 'reads an upgrade to h2c as a plain request',
    bytes: get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'),
    expected: ['GET /attack '],
  },
  {
    title: 'reads one empty line before a request as nothing',
    bytes: `\r\n${get('')}`,
    expected: ['GET /attack '],
  },
];

/** What the parser may read, and the next stage does not let pass. */
const STAGES: readonly RequestAttack[] = [
  ['two Hosts', get('Host: other.test\r\n'), '/attack'],
  ['two Hosts in two cases', get('HOST: server.test\r\n'), '/attack'],
  ['no Host', 'GET /attack HTTP/1.1\r\n\r\n', '/attack'],
  ['a Host with a path', 'GET /attack HTTP/1.1\r\nHost: server.test/x\r\n\r\n', '/attack'],
  ['a Host with a comma', 'GET /attack HTTP/1.1\r\nHost: server.test, other.test\r\n\r\n', '/attack'],
  ['a Host with a user', 'GET /attack HTTP/1.1\r\nHost: x@server.test\r\n\r\n', '/attack'],
  [
    'an absolute target of another host',
    `GET http://other.test/attack HTTP/1.1\r\n${HOST}\r\n`,
    'http://other.test/attack',
  ],
  [
    'an absolute target with a user',
    `GET http://x@server.test/attack HTTP/1.1\r\n${HOST}\r\n`,
    'http://x@server.test/attack',
  ],
  [
    'an absolute target of another scheme',
    `GET gopher://server.test/attack HTTP/1.1\r\n${HOST}\r\n`,
    'gopher://server.test/attack',
  ],
  ['a target without a slash', `GET attack HTTP/1.1\r\n${HOST}\r\n`, 'attack'],
  ['an authority for a target', `GET server.test:80 HTTP/1.1\r\n${HOST}\r\n`, 'server.test:80'],
  ['an asterisk on GET', `GET * HTTP/1.1\r\n${HOST}\r\n`, '*'],
].map(([title = '', bytes = '', target = '']) => ({
  title: `reads ${title}, and the next stage refuses it`,
  bytes,
  expected: [`GET ${target} `],
  stage: 'malformed_request' as const,
}));

const PATHS: readonly RequestAttack[] = [
  '/a/../attack',
  '/a/%2e%2e/attack',
  '/a%2fattack',
  '/a\\attack',
  '//attack',
  '/a;/..;/attack',
  '/attack%00',
  '/attack%c0%af',
  '/attack%zz',
].map((target) => ({
  title: `reads the path ${target}, and the next stage refuses it`,
  bytes: `GET ${target} HTTP/1.1\r\n${HOST}\r\n`,
  expected: [`GET ${target} `],
  stage: 'ambiguous_path' as const,
}));

export const REQUEST_ATTACKS: readonly RequestAttack[] = [
  ...LENGTH_AND_CODING,
  ...LENGTHS,
  ...CODINGS,
  ...CHARACTERS,
  ...LINES,
  ...START_LINES,
  ...CHUNKS,
  ...TRAILERS,
  ...SIZES,
  ...READ,
  ...STAGES,
  ...PATHS,
];
