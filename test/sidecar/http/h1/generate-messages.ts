import fc from 'fast-check';

/** Bytes of well-formed messages, and what a reader must say of them (requestLines, readResponse). */
export interface GeneratedStream {
  readonly bytes: Buffer;
  readonly expected: readonly string[];
}

interface Field {
  readonly name: string;
  readonly value: string;
  readonly before: string;
  readonly after: string;
}

const TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const VISIBLE = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).filter((character) =>
  /[\x21-\x7e\x80-\xff]/.test(character),
);
const charactersOf = (characters: readonly string[], minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...characters), minLength, maxLength });
const token = (maxLength: number) => charactersOf([...TOKEN_CHARACTERS], 1, maxLength);
const blanks = charactersOf([' ', '\t'], 0, 3);

/** Names that mean something to the framing stand in no random field. */
const MEANINGFUL =
  /^(?:content[-_]length|transfer[-_]encoding|connection|expect|keep-alive|host|trailer|te|upgrade|authorization|content-(?:encoding|type|range))$/i;
const fieldName = fc
  .oneof(
    token(20),
    fc.constantFrom('Accept', 'x-b', 'X-B', 'Cookie', 'traceparent', 'content-lengt', 'transfer-encodin'),
  )
  .filter((name) => !MEANINGFUL.test(name));
const fieldValue = charactersOf([...VISIBLE, ' ', '\t'], 0, 30).map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ''));
const field: fc.Arbitrary<Field> = fc.record({ name: fieldName, value: fieldValue, before: blanks, after: blanks });
const fields = fc.array(field, { maxLength: 6 });
const HOST_FIELD: Field = { name: 'Host', value: 'server.test', before: ' ', after: '' };

const content = fc.oneof(
  fc.string({ unit: 'binary-ascii', maxLength: 60 }),
  fc.constantFrom('0\r\n\r\n', '\r\n', 'GET /inner HTTP/1.1\r\nHost: server.test\r\n\r\n'),
);
const extension = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.tuple(token(6), token(6)).map(([name, value]) => `;${name}=${value}`) },
  { weight: 1, arbitrary: token(6).map((name) => `;${name}`) },
  { weight: 1, arbitrary: fc.constant(';a="b;\\"\tc"') },
);
const zeros = fc.constantFrom('', '', '', '0', '000');
const chunk = fc.record({ data: content.filter((text) => text !== ''), zeros, extension, isUpper: fc.boolean() });

type Body =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly text: string; readonly zeros: string }
  | {
      readonly kind: 'chunked';
      readonly chunks: readonly { data: string; zeros: string; extension: string; isUpper: boolean }[];
      readonly lastExtension: string;
      readonly trailers: readonly Field[];
    };

const body: fc.Arbitrary<Body> = fc.oneof(
  fc.constant<Body>({ kind: 'none' }),
  fc.record({ kind: fc.constant('length' as const), text: content, zeros }),
  fc.record({
    kind: fc.constant('chunked' as const),
    chunks: fc.array(chunk, { maxLength: 4 }),
    lastExtension: extension,
    trailers: fc.array(field, { maxLength: 3 }),
  }),
);

const commonMethod = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'M-SEARCH');
const anyMethod = fc.oneof(
  commonMethod,
  charactersOf([...'ABCDEFGHIJ-'], 1, 12).filter((name) => name !== 'CONNECT'),
);
const plainTarget = charactersOf([...'abcXYZ019/?&=.-_~%:;,@!$()*+'], 0, 30);
const anyTarget = charactersOf(
  VISIBLE.filter((character) => character !== '#'),
  0,
  30,
);
const target = fc
  .oneof({ weight: 4, arbitrary: plainTarget }, { weight: 1, arbitrary: anyTarget })
  .map((text) => `/${text}`);

function line({ name, value, before, after }: Field): string {
  return `${name}:${before}${value}${after}\r\n`;
}

function flat(all: readonly Field[]): string[] {
  return all.flatMap(({ name, value }) => [name, value]);
}

/** The framing field, the bytes behind the head, and the content they carry. */
function framed(body: Body): { readonly fields: readonly Field[]; readonly bytes: string; readonly text: string } {
  if (body.kind === 'none') return { fields: [], bytes: '', text: '' };
  if (body.kind === 'length') {
    const value = `${body.zeros}${body.text.length}`;
    return { fields: [{ name: 'Content-Length', value, before: ' ', after: '' }], bytes: body.text, text: body.text };
  }
  const chunks = body.chunks.map(({ data, zeros: padding, extension: ext, isUpper }) => {
    const size = data.length.toString(16);
    return `${padding}${isUpper ? size.toUpperCase() : size}${ext}\r\n${data}\r\n`;
  });
  return {
    fields: [{ name: 'Transfer-Encoding', value: 'chunked', before: ' ', after: '' }],
    bytes: `${chunks.join('')}0${body.lastExtension}\r\n${body.trailers.map(line).join('')}\r\n`,
    text: body.chunks.map(({ data }) => data).join(''),
  };
}

interface GeneratedRequest {
  readonly text: string;
  readonly line: string;
}

function requestWith(method: fc.Arbitrary<string>): fc.Arbitrary<GeneratedRequest> {
  return fc
    .record({ method, target, fields, more: fields, body, hasEmptyLine: fc.boolean() })
    .map(({ method: verb, target: path, fields: some, more, body: kind, hasEmptyLine }) => {
      const { fields: framing, bytes, text } = framed(kind);
      const all = [HOST_FIELD, ...some, ...framing, ...more];
      const hasBody = kind.kind === 'chunked' || text.length > 0;
      const trailers = kind.kind === 'chunked' ? flat(kind.trailers) : [];
      return {
        text: `${hasEmptyLine ? '\r\n' : ''}${verb} ${path} HTTP/1.1\r\n${all.map(line).join('')}\r\n${bytes}`,
        line: `${verb} ${path} 1.1 ${JSON.stringify(flat(all))} ${JSON.stringify(text)}${hasBody ? ` ${JSON.stringify(trailers)}` : ''}`,
      };
    });
}

/** One to three requests on one connection. */
function streamOf(request: fc.Arbitrary<GeneratedRequest>): fc.Arbitrary<GeneratedStream> {
  return fc.array(request, { minLength: 1, maxLength: 3 }).map((all) => ({
    bytes: Buffer.from(all.map(({ text }) => text).join(''), 'latin1'),
    expected: all.map(({ line: each }) => each),
  }));
}

export const requestStream = streamOf(requestWith(anyMethod));
/** With methods that other programs know too. */
export const commonRequestStream = streamOf(requestWith(commonMethod));

const interim = fc.constantFrom('', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n');
const INTERIM_LINES: { readonly [text: string]: readonly string[] } = {
  'HTTP/1.1 100 Continue\r\n\r\n': ['100 Continue []'],
  'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n': ['103 Early Hints ["Link","a"]'],
};
const reason = charactersOf([...VISIBLE, ' ', '\t'], 0, 20);

/** One response to a GET, with or without interim ones before it; without a declared end it ends with the connection. */
export const responseStream: fc.Arbitrary<GeneratedStream> = fc
  .record({ interim, status: fc.constantFrom(200, 201, 206, 404, 503, 999), reason, fields, more: fields, body })
  .map(({ interim: before, status, reason: why, fields: some, more, body: kind }) => {
    const { fields: framing, bytes, text } = framed(kind);
    const all = [...some, ...framing, ...more];
    const trailers = kind.kind === 'chunked' ? flat(kind.trailers) : [];
    const end = kind.kind === 'none' ? '' : kind.kind === 'chunked' ? ' reusable' : ` reusable length ${text.length}`;
    return {
      bytes: Buffer.from(`${before}HTTP/1.1 ${status} ${why}\r\n${all.map(line).join('')}\r\n${bytes}`, 'latin1'),
      expected: [
        ...(INTERIM_LINES[before] ?? []),
        `${status} ${why} ${JSON.stringify(flat(all))}${end}`,
        `body ${JSON.stringify(text)} ${JSON.stringify(trailers)}`,
      ],
    };
  });

/** Pieces that attacks are made of. */
export const DICTIONARY: readonly string[] = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  ' ',
  '\t',
  '\0',
  ':',
  ';',
  ',',
  '"',
  '+',
  '-',
  '_',
  '0x',
  '0',
  '1',
  'f',
  '\x7f',
  '\x80',
  '\xff',
  '#',
  'HTTP/1.0',
  'HTTP/1.1',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: x\r\n',
  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Expect: 100-continue\r\n',
  'X-A: b\r\n',
  'chunked',
  'Host: x\r\n',
  '0\r\n\r\n',
  '5\r\nhello\r\n',
  'GET /x HTTP/1.1\r\nHost: x\r\n\r\n',
  'HTTP/1.1 200 OK\r\n\r\n',
];

type Mutation =
  | { readonly kind: 'insert'; readonly at: number; readonly text: string }
  | { readonly kind: 'replace'; readonly at: number; readonly text: string }
  | { readonly kind: 'delete'; readonly at: number; readonly size: number }
  | { readonly kind: 'repeat'; readonly at: number; readonly size: number };

const piece = fc.oneof(
  fc.constantFrom(...DICTIONARY),
  fc.nat(255).map((code) => String.fromCharCode(code)),
);
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant('insert' as const), at: fc.nat(1_000), text: piece }),
  fc.record({ kind: fc.constant('replace' as const), at: fc.nat(1_000), text: piece }),
  fc.record({ kind: fc.constant('delete' as const), at: fc.nat(1_000), size: fc.integer({ min: 1, max: 8 }) }),
  fc.record({ kind: fc.constant('repeat' as const), at: fc.nat(1_000), size: fc.integer({ min: 1, max: 40 }) }),
);

/** A well-formed stream after up to three accidents. */
export function mutatedBytes(stream: fc.Arbitrary<GeneratedStream>): fc.Arbitrary<Buffer> {
  return fc.tuple(stream, fc.array(mutation, { maxLength: 3 })).map(([{ bytes }, mutations]) => {
    let text = bytes.toString('latin1');
    for (const each of mutations) text = mutate(text, each);
    return Buffer.from(text, 'latin1');
  });
}

function mutate(text: string, change: Mutation): string {
  const at = text.length === 0 ? 0 : change.at % text.length;
  if (change.kind === 'insert') return text.slice(0, at) + change.text + text.slice(at);
  if (change.kind === 'replace') return text.slice(0, at) + change.text + text.slice(at + change.text.length);
  if (change.kind === 'delete') return text.slice(0, at) + text.slice(at + change.size);
  return text.slice(0, at) + text.slice(at, at + change.size).repeat(2) + text.slice(at + change.size);
}
