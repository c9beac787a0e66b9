/** Numbers of google/protobuf/descriptor.proto. */
const FILE_OF_SET = 1;
const SOURCE_CODE_INFO_OF_FILE = 9;

/**
 * A serialized FileDescriptorSet without the comments and positions of its sources, which mean nothing to a validator and are most of it. One that cannot be
 * read is left as it is: whoever reads it says why.
 */
export function reduceDescriptorSet(bytes: Buffer): Buffer {
  const files = without(bytes, undefined);
  return files === undefined ? bytes : Buffer.concat(files);
}

/** The fields of a message in pieces; of a set (`dropped` undefined) its files reduced, of a file all but one. Undefined: it cannot be read. */
function without(bytes: Buffer, dropped: number | undefined): readonly Buffer[] | undefined {
  const kept: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = varintAt(bytes, at);
    const end = tag === undefined ? undefined : endOf(bytes, tag.next, tag.value & 7);
    if (tag === undefined || end === undefined || end > bytes.length) return undefined;
    const number = tag.value >>> 3;
    const isFile = dropped === undefined && number === FILE_OF_SET && (tag.value & 7) === 2;
    if (isFile) {
      const length = varintAt(bytes, tag.next);
      const file = length && without(bytes.subarray(length.next, end), SOURCE_CODE_INFO_OF_FILE);
      if (file === undefined) return undefined;
      const content = Buffer.concat(file);
      kept.push(Buffer.from([FILE_OF_SET * 8 + 2, ...varint(content.length)]), content);
    } else if (number !== dropped) {
      kept.push(bytes.subarray(at, end));
    }
    at = end;
  }
  return kept;
}

/** Where the value of a field ends; undefined: it cannot be said. Groups have been no part of descriptors ever. */
function endOf(bytes: Buffer, at: number, wire: number): number | undefined {
  if (wire === 0) return varintAt(bytes, at)?.next;
  if (wire === 1) return at + 8;
  if (wire === 5) return at + 4;
  const length = wire === 2 ? varintAt(bytes, at) : undefined;
  return length && length.next + length.value;
}

function varintAt(bytes: Buffer, start: number): { readonly value: number; readonly next: number } | undefined {
  let value = 0;
  for (let at = start; at < Math.min(bytes.length, start + 10); at += 1) {
    const byte = bytes[at] as number;
    value += (byte & 0x7f) * 2 ** (7 * (at - start));
    if (byte < 0x80) return { value, next: at + 1 };
  }
  return undefined;
}

function varint(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(Math.floor(value / 128))];
}
