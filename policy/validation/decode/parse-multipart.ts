import { withoutSpace } from '../../http/flat-headers.ts';

/** One part of a multipart/form-data body. */
export interface Part {
  readonly name: string;
  /** Undefined: the part does not say. */
  readonly contentType: string | undefined;
  readonly isFile: boolean;
  /** Its header fields, names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** A view of the body: nothing is copied. */
  readonly bytes: Buffer;
}

/** More parts are refused. */
export const MAX_PARTS = 1_000;
/** Bytes of the header section of one part. */
export const MAX_PART_HEADER_BYTES = 8_192;

const CRLF = '\r\n';
const HEADER_END = Buffer.from('\r\n\r\n');

/**
 * The parts of a whole body; a string: why it is none. Strict, where programs differ on what is lenient: lines end with CRLF, also those of
 * boundaries in what looks like content, nothing stands before the first boundary or behind the last, each part has one name, in quotes, without backslashes or `filename*`.
 * Source: RFC 7578, RFC 2046 §5.1.
 */
export function parseMultipart(body: Buffer, boundary: string): readonly Part[] | string {
  const first = Buffer.from(`--${boundary}`);
  const next = Buffer.from(`${CRLF}--${boundary}`);
  if (body.indexOf(first) !== 0) return 'does not begin with its boundary';
  const parts: Part[] = [];
  let at = first.length;
  for (;;) {
    if (body.toString('latin1', at, at + 2) === '--') {
      const rest = body.subarray(at + 2);
      const isOver = rest.length === 0 || rest.toString('latin1') === CRLF;
      return isOver ? parts : 'has bytes behind its last boundary';
    }
    if (body.toString('latin1', at, at + 2) !== CRLF) return 'has a boundary that its line does not end after';
    if (parts.length === MAX_PARTS) return `has more than ${MAX_PARTS} parts`;
    const end = body.indexOf(next, at);
    if (end < 0) return 'ends within a part';
    if (hasLooseBoundary(body, first, at, end, LF)) return 'has its boundary in a line that no CRLF begins';
    const part = readPart(body.subarray(at, end));
    if (typeof part === 'string') return part;
    parts.push(part);
    at = end + next.length;
  }
}

/** A boundary behind CR or LF alone: of two programs one would see another part there. `before`: the byte ahead of `from`. */
export function hasLooseBoundary(body: Buffer, boundary: Buffer, from: number, to: number, before: number): boolean {
  for (let at = body.indexOf(boundary, from); at >= 0 && at < to; at = body.indexOf(boundary, at + 1)) {
    const ahead = at === from ? before : body[at - 1];
    if (ahead === LF || ahead === CR) return true;
  }
  return false;
}

const LF = 0x0a;
const CR = 0x0d;

/** From the CRLF behind the boundary to the one before the next. */
function readPart(bytes: Buffer): Part | string {
  const headerEnd = bytes.indexOf(HEADER_END);
  if (headerEnd < 0) return 'has a part without an end of its headers';
  if (headerEnd > MAX_PART_HEADER_BYTES) return `has a part with more than ${MAX_PART_HEADER_BYTES} bytes of headers`;
  const head = readPartHead(bytes.subarray(0, headerEnd));
  return typeof head === 'string' ? head : { ...head, bytes: bytes.subarray(headerEnd + HEADER_END.length) };
}

/** What the header section of a part says, from the CRLF behind the boundary on; a string: why that is none. */
export function readPartHead(bytes: Buffer): Omit<Part, 'bytes'> | string {
  const fields = new Map<string, string>();
  for (const line of bytes.toString('utf8', CRLF.length).split(CRLF)) {
    const [, name, value] = /^([!#$%&'*+.^_`|~\w-]+):([^\r\n\0]*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) return 'has a part with a header line that is none';
    if (fields.has(name.toLowerCase())) return `has a part with two ${name.toLowerCase()}`;
    fields.set(name.toLowerCase(), withoutSpace(value));
  }
  const disposition = readDisposition(fields.get('content-disposition') ?? '');
  if (typeof disposition === 'string') return disposition;
  const encoding = fields.get('content-transfer-encoding')?.toLowerCase() ?? 'binary';
  if (!['7bit', '8bit', 'binary'].includes(encoding)) return 'has a part with a content-transfer-encoding';
  return { ...disposition, contentType: fields.get('content-type'), headers: fields };
}

function readDisposition(value: string): Pick<Part, 'name' | 'isFile'> | string {
  const [, type, rest = ''] = /^([\w-]+)(.*)$/s.exec(value) ?? [];
  if (type?.toLowerCase() !== 'form-data') return 'has a part that is no form-data';
  const parameters = new Map<string, string>();
  let open = rest;
  while (open !== '') {
    const [whole = '', name = '', text = ''] = /^[ \t]*;[ \t]*([\w*-]+)="([^"\\]*)"[ \t]*/.exec(open) ?? [];
    if (whole === '') return 'has a part whose content-disposition cannot be read in one way';
    if (name.endsWith('*')) return `has a part with ${name}, which form-data must not have`;
    if (parameters.has(name.toLowerCase())) return `has a part with two parameters ${name}`;
    parameters.set(name.toLowerCase(), text);
    open = open.slice(whole.length);
  }
  const name = parameters.get('name');
  return name === undefined ? 'has a part without a name' : { name, isFile: parameters.has('filename') };
}
