import { isUtf8 } from 'node:buffer';
import { constructedTag, contextTag, DerError, DerReader, TAG } from './der-reader.ts';
import { type PublicKeyFacts, readPublicKey } from './public-key.ts';
import { type Extensions, noExtensions, readExtensions } from './read-extensions.ts';
import { readTime } from './read-time.ts';

/** What a certificate says (RFC 5280 §4.1); the bytes are views of the DER that was read. */
export interface Certificate {
  readonly der: Buffer;
  /** TBSCertificate: what is signed. */
  readonly body: Buffer;
  /** Lower-case hex, two digits a byte. */
  readonly serial: string;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Buffer;
  /** Names, whole; compared byte by byte. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly subjectPublicKeyInfo: Buffer;
  readonly key: PublicKeyFacts;
  readonly extensions: Extensions;
}

export interface AlgorithmIdentifier {
  readonly oid: string;
  /** Tag of the parameters; undefined: there are none. Of those that are accepted only NULL has any. */
  readonly parameters: number | undefined;
}

/** Largest certificate that is read; one with every usual field is below 3 KiB. */
export const MAX_CERTIFICATE_BYTES = 16 * 1024;
/** RFC 5280 §4.1.2.2. */
const MAX_SERIAL_BYTES = 20;
const UTF8_STRING = 0x0c;
/** Bytes of a character, by tag: UTF8, Numeric, Printable, Teletex, IA5, Universal and BMPString (X.690 §8.23). */
const CHARACTER_BYTES: { readonly [tag: number]: number } = {
  [UTF8_STRING]: 1,
  18: 1,
  19: 1,
  20: 1,
  22: 1,
  28: 4,
  30: 2,
};
/** Version ::= INTEGER { v3(2) }. */
const VERSION_3 = 2;

/**
 * Reads one certificate that fills the whole input. Says nothing of whom to trust, nor whether the certificate is strong
 * enough or is valid now. Throws DerError for whatever is not to the letter.
 */
export function readCertificate(der: Buffer): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) {
    throw new DerError(`certificate: ${der.length} bytes exceed the limit of ${MAX_CERTIFICATE_BYTES}`, 0);
  }
  const outer = new DerReader(der);
  const envelope = outer.enter(TAG.sequence, 'certificate');
  outer.end('certificate');
  const body = envelope.element(TAG.sequence, 'certificate body');
  const fields = envelope.lastContent();
  const algorithmBytes = envelope.element(TAG.sequence, 'signature algorithm');
  const signatureAlgorithm = readAlgorithm(envelope.lastContent());
  const signature = envelope.wholeBits('signature');
  envelope.end('certificate');

  readVersion(fields);
  const serial = readSerial(fields);
  // RFC 5280 §4.1.1.2: what stands beside the signature is not signed, so it must be what stands in the body
  if (!fields.element(TAG.sequence, 'signature algorithm').equals(algorithmBytes)) {
    fields.fail('signature algorithm: not the same at both places');
  }
  const issuer = readName(fields, 'issuer');
  if (issuer.length === 2) fields.fail('issuer: empty'); // RFC 5280 §4.1.2.4
  const validity = fields.enter(TAG.sequence, 'validity');
  const notBeforeMs = readTime(validity, 'notBefore');
  const notAfterMs = readTime(validity, 'notAfter');
  validity.end('validity');
  const subject = readName(fields, 'subject');
  const subjectPublicKeyInfo = fields.element(TAG.sequence, 'public key');
  // issuerUniqueID and subjectUniqueID (RFC 5280 §4.1.2.8) may be there, and mean nothing
  for (const number of [1, 2]) if (fields.isNext(contextTag(number))) fields.any('unique identifier');
  const wrapper = constructedTag(3);
  const extensions = fields.isNext(wrapper) ? readExtensions(fields.enter(wrapper, 'extensions')) : noExtensions();
  fields.end('certificate body');
  return {
    der,
    body,
    serial,
    signatureAlgorithm,
    signature,
    issuer,
    subject,
    notBeforeMs,
    notAfterMs,
    subjectPublicKeyInfo,
    key: readPublicKey(subjectPublicKeyInfo),
    extensions,
  };
}

/** RFC 5280 §4.1.1.2. */
function readAlgorithm(fields: DerReader): AlgorithmIdentifier {
  const oid = fields.oid('signature algorithm');
  if (fields.isAtEnd) return { oid, parameters: undefined };
  const { tag, content } = fields.any('signature algorithm');
  fields.end('signature algorithm');
  if (tag === TAG.null && content.length > 0) fields.fail('signature algorithm: NULL with a content');
  return { oid, parameters: tag };
}

/** RFC 5280 §4.1.2.1: only version 3 has extensions, and without any a certificate names no identity. */
function readVersion(fields: DerReader): void {
  const wrapper = constructedTag(0);
  if (!fields.isNext(wrapper)) fields.fail('version: not 3');
  const version = fields.enter(wrapper, 'version');
  const value = version.integer('version');
  version.end('version');
  if (value.length !== 1 || value[0] !== VERSION_3) fields.fail('version: not 3');
}

/** RFC 5280 §4.1.2.2; 0, which it forbids, is borne. */
function readSerial(fields: DerReader): string {
  const value = fields.integer('serial number');
  const [first = 0] = value;
  if (first >= 0x80) fields.fail('serial number: negative');
  const digits = first === 0 && value.length > 1 ? value.subarray(1) : value;
  if (digits.length > MAX_SERIAL_BYTES) fields.fail(`serial number: longer than ${MAX_SERIAL_BYTES} bytes`);
  return digits.toString('hex');
}

/**
 * RFC 5280 §4.1.2.4: a sequence of sets of pairs of type and value. Names are compared as bytes; that
 * they are well-formed is so that no other program reads another name in them.
 */
function readName(fields: DerReader, what: string): Buffer {
  const name = fields.element(TAG.sequence, what);
  const list = fields.lastContent();
  while (!list.isAtEnd) {
    const set = list.enter(TAG.set, what);
    if (set.isAtEnd) set.fail(`${what}: an empty set`);
    while (!set.isAtEnd) {
      const attribute = set.enter(TAG.sequence, what);
      attribute.oid(what);
      const { tag, content } = attribute.any(what);
      if (!isNameValue(tag, content)) attribute.fail(`${what}: not of text`);
      attribute.end(what);
    }
  }
  return name;
}

/** Text; or bits, as x500UniqueIdentifier has them (X.520 §6.2.7). */
function isNameValue(tag: number, content: Buffer): boolean {
  if (tag === TAG.bitString) return (content[0] ?? 8) < 8;
  const characterBytes = CHARACTER_BYTES[tag];
  if (characterBytes === undefined || content.length % characterBytes !== 0) return false;
  return tag !== UTF8_STRING || isUtf8(content);
}
