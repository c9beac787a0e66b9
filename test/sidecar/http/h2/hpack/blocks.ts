import fc from 'fast-check';
import type { HeaderDecoder } from '#sidecar/http/h2/hpack/header-decoder.ts';
import { HeaderEncoder } from '#sidecar/http/h2/hpack/header-encoder.ts';

/** `[name, value]` pairs of one block. */
export type Pairs = readonly (readonly [name: string, value: string])[];

/** Limits that no test of these reaches unless it means to. */
export const AMPLE_BYTES = 2 ** 30;
export const AMPLE_FIELDS = 2 ** 24;

/** All fields of a block given as hexadecimal or bytes, as `name: value`. */
export function decodeAll(decoder: HeaderDecoder, block: string | Buffer): string[] {
  const bytes = typeof block === 'string' ? Buffer.from(block.replace(/\s+/g, ''), 'hex') : block;
  const flat = decoder.decode(bytes, 0, bytes.length, AMPLE_BYTES, AMPLE_FIELDS);
  const lines: string[] = [];
  for (let index = 0; index < flat.length; index += 2) lines.push(`${flat[index]}: ${flat[index + 1]}`);
  return lines;
}

/** One block, written where nothing else has room: what `maxFieldBytes` promises holds, or this throws. */
export function encodeAll(encoder: HeaderEncoder, pairs: Pairs): Buffer {
  let room = HeaderEncoder.MAX_BEGIN_BYTES;
  for (const [name, value] of pairs) room += HeaderEncoder.maxFieldBytes(name, value);
  const target = Buffer.alloc(room);
  let at = encoder.begin(target, 0);
  if (at > HeaderEncoder.MAX_BEGIN_BYTES) throw new Error(`begin wrote ${at} bytes`);
  for (const [name, value] of pairs) {
    const end = encoder.field(name, value, target, at);
    const most = HeaderEncoder.maxFieldBytes(name, value);
    if (end - at > most) throw new Error(`${name} took ${end - at} bytes, more than ${most}`);
    at = end;
  }
  return target.subarray(0, at);
}

/** A literal field: first byte, then name (unless the first byte names it) and value as they are. */
export function literal(first: number, ...strings: string[]): Buffer {
  const parts: Buffer[] = [Buffer.of(first)];
  for (const text of strings) parts.push(integer(text.length, 0x00, 0x7f), Buffer.from(text, 'latin1'));
  return Buffer.concat(parts);
}

/** An integer as RFC 7541 §5.1 has it. */
export function integer(value: number, flags: number, mask: number): Buffer {
  if (value < mask) return Buffer.from([flags | value]);
  const bytes = [flags | mask];
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(128 + (rest % 128));
  return Buffer.from([...bytes, rest]);
}

/** Bytes that look like blocks: at random hardly any would come beyond their first field. */
export const likelyBlock: fc.Arbitrary<Buffer> = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
      fc.integer({ min: 1, max: 140 }).map((index) => integer(index, 0x80, 0x7f)),
      fc.integer({ min: 0, max: 5_000 }).map((size) => integer(size, 0x20, 0x1f)),
      fc
        .tuple(fc.constantFrom(0x40, 0x00, 0x10), fc.string({ maxLength: 9 }), fc.string({ maxLength: 300 }))
        .map(([first, name, value]) => literal(first, name, value)),
      fc
        .tuple(fc.constantFrom(0x04, 0x14, 0x44), fc.uint8Array({ maxLength: 12 }))
        .map(([first, coded]) => Buffer.concat([Buffer.of(first), integer(coded.length, 0x80, 0x7f), coded])),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Buffer.concat(parts));
