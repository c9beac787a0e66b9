import type { BodyFault } from '../body-fault.ts';

/** Content codings that are undone to look at a body (RFC 9110 §8.4.1; RFC 7932; RFC 8878). */
export type ContentCoding = 'gzip' | 'deflate' | 'br' | 'zstd';

const CODINGS: ReadonlyMap<string, ContentCoding> = new Map<string, ContentCoding>([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
  ['zstd', 'zstd'],
]);

/** The coding that a Content-Encoding names; `identity`: none; undefined: one that cannot be undone, or several. */
export function codingOf(value: string): ContentCoding | 'identity' | undefined {
  const name = value.trim().toLowerCase();
  return name === 'identity' || name === '' ? 'identity' : CODINGS.get(name);
}

export type Undone =
  | { readonly kind: 'whole'; readonly bytes: Buffer }
  /** There is more than was asked for; nothing beyond it was decoded. */
  | { readonly kind: 'longer' }
  /** `take` had no memory for it. */
  | { readonly kind: 'no-room' }
  | { readonly kind: 'malformed'; readonly reason: string };

/** The fault of a body that is not coded as it says. */
export function notCoded(message: string): BodyFault {
  return { code: 'malformed_body', details: [{ in: 'body', pointer: '', keyword: 'encoding', message }] };
}

/** How much is handed over and taken at once. */
const CHUNK_BYTES = 64 * 1024;

/**
 * Undoes a coding, up to `maxBytes` of what comes out of it; on threads of their own, so that nobody waits. What follows the coded data is
 * malformed: the app could read it as more. `take` is asked for memory as it is needed.
 */
export function undoCoding(
  body: Buffer,
  coding: ContentCoding,
  maxBytes: number,
  take: (bytes: number) => boolean = () => true,
): Promise<Undone> {
  const { promise, resolve } = Promise.withResolvers<Undone>();
  const decoder = decoderOf(coding);
  const chunks: Buffer[] = [];
  let size = 0;
  const settle = (undone: Undone) => {
    decoder.destroy();
    resolve(undone);
  };
  decoder.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes) settle({ kind: 'longer' });
    else if (!take(chunk.length)) settle({ kind: 'no-room' });
    else chunks.push(chunk);
  });
  decoder.on('error', ({ message }) => settle({ kind: 'malformed', reason: `is not ${coding}: ${message}` }));
  decoder.on('end', () => {
    if (decoder.bytesWritten < body.length) settle({ kind: 'malformed', reason: `has bytes after its ${coding} data` });
    else settle({ kind: 'whole', bytes: Buffer.concat(chunks) });
  });
  decoder.end(body);
  return promise;
}

function decoderOf(coding: ContentCoding) {
  const zlib = process.getBuiltinModule('node:zlib'); // 3 MB, which a sidecar that meets no coding does without
  const options = { chunkSize: CHUNK_BYTES };
  switch (coding) {
    case 'gzip':
      return zlib.createGunzip(options);
    case 'deflate':
      return zlib.createInflate(options);
    case 'br':
      return zlib.createBrotliDecompress(options);
    case 'zstd':
      return zlib.createZstdDecompress(options);
  }
}
