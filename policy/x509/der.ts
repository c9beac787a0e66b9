import asn1, { type Asn1Node } from 'node-forge/lib/asn1.js';

/** A node of an ASN.1 tree. */
export type Der = Asn1Node;

/** Largest input that is read: certificates and CSRs stay far below (forge bounds the depth). */
const MAX_DER_BYTES = 64 * 1024;

const UNIVERSAL = 0x00;
const CONTEXT_SPECIFIC = 0x80;
const TYPE = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  null: 5,
  oid: 6,
  utf8String: 12,
  sequence: 16,
  set: 17,
  utcTime: 23,
  generalizedTime: 24,
} as const;

/** The last year that UTCTime can name. RFC 5280 §4.1.2.5. */
const LAST_UTC_TIME_YEAR = 2049;

export function sequence(...children: readonly Der[]): Der {
  return asn1.create(UNIVERSAL, TYPE.sequence, true, children);
}

export function set(...children: readonly Der[]): Der {
  return asn1.create(UNIVERSAL, TYPE.set, true, children);
}

export function oid(dotted: string): Der {
  return asn1.create(UNIVERSAL, TYPE.oid, false, asn1.oidToDer(dotted).getBytes());
}

/** An INTEGER from its big-endian two's complement. */
export function integer(bytes: Buffer): Der {
  return asn1.create(UNIVERSAL, TYPE.integer, false, bytes.toString('latin1'));
}

export function boolean(value: boolean): Der {
  return asn1.create(UNIVERSAL, TYPE.boolean, false, value ? '\xff' : '\x00');
}

export function nothing(): Der {
  return asn1.create(UNIVERSAL, TYPE.null, false, '');
}

export function utf8(text: string): Der {
  return asn1.create(UNIVERSAL, TYPE.utf8String, false, Buffer.from(text).toString('latin1'));
}

export function octets(bytes: Buffer): Der {
  return asn1.create(UNIVERSAL, TYPE.octetString, false, bytes.toString('latin1'));
}

/** A BIT STRING; `unusedBits` are the trailing bits of the last byte that do not count. */
export function bits(bytes: Buffer, unusedBits = 0): Der {
  return asn1.create(UNIVERSAL, TYPE.bitString, false, String.fromCharCode(unusedBits) + bytes.toString('latin1'));
}

/** A time to the second, in the form that its year demands. RFC 5280 §4.1.2.5. */
export function time(date: Date): Der {
  return date.getUTCFullYear() <= LAST_UTC_TIME_YEAR
    ? asn1.create(UNIVERSAL, TYPE.utcTime, false, asn1.dateToUtcTime(date))
    : asn1.create(UNIVERSAL, TYPE.generalizedTime, false, asn1.dateToGeneralizedTime(date));
}

/** `[tag]` around children (EXPLICIT, or IMPLICIT of a constructed type). */
export function tagged(tag: number, ...children: readonly Der[]): Der {
  return asn1.create(CONTEXT_SPECIFIC, tag, true, children);
}

/** `[tag] IMPLICIT` of a primitive type. */
export function taggedBytes(tag: number, bytes: Buffer): Der {
  return asn1.create(CONTEXT_SPECIFIC, tag, false, bytes.toString('latin1'));
}

export function encodeDer(node: Der): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
}

/**
 * Reads one DER value that fills the whole input. Throws for anything else, also for BER that is not
 * canonical: what was read can be encoded again to the very bytes that were signed.
 */
export function decodeDer(bytes: Buffer): Der {
  if (bytes.length > MAX_DER_BYTES)
    throw new Error(`${bytes.length} bytes of DER exceed the limit of ${MAX_DER_BYTES}`);
  const node = asn1.fromDer(bytes.toString('latin1'), { strict: true, parseAllBytes: true, decodeBitStrings: false });
  if (!encodeDer(node).equals(bytes)) throw new Error('not in canonical form (DER)');
  return node;
}

/** The children of a SEQUENCE, SET or constructed tag; throws when the node is a primitive. */
export function childrenOf(node: Der | undefined, what: string): readonly Der[] {
  if (node === undefined || typeof node.value === 'string') throw new Error(`${what}: expected a structure`);
  return node.value;
}

/** The content of a primitive; throws when the node is a structure. */
export function bytesOf(node: Der | undefined, what: string): Buffer {
  if (node === undefined || typeof node.value !== 'string') throw new Error(`${what}: expected a primitive`);
  return Buffer.from(node.value, 'latin1');
}

/** The content of a BIT STRING of whole bytes. */
export function bitsOf(node: Der | undefined, what: string): Buffer {
  const bytes = bytesOf(node, what);
  if (!isUniversal(node, TYPE.bitString) || bytes[0] !== 0) throw new Error(`${what}: expected a BIT STRING of bytes`);
  return bytes.subarray(1);
}

export function oidOf(node: Der | undefined, what: string): string {
  const bytes = bytesOf(node, what);
  if (!isUniversal(node, TYPE.oid) || bytes.length === 0) throw new Error(`${what}: expected an object identifier`);
  return asn1.derToOid(bytes.toString('latin1'));
}

/** True for `[tag]`. */
export function isTagged(node: Der, tag: number): boolean {
  return node.tagClass === CONTEXT_SPECIFIC && node.type === tag;
}

/** True for an INTEGER of the universal class. */
export function isInteger(node: Der | undefined): boolean {
  return isUniversal(node, TYPE.integer);
}

export function isOctets(node: Der | undefined): boolean {
  return isUniversal(node, TYPE.octetString);
}

function isUniversal(node: Der | undefined, type: number): boolean {
  return node !== undefined && node.tagClass === UNIVERSAL && node.type === type;
}
