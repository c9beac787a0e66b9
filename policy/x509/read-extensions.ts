import { contextTag, type DerReader, TAG } from './der-reader.ts';
import { type GeneralName, readGeneralNames } from './general-names.ts';
import { type NameConstraints, readNameConstraints } from './read-name-constraints.ts';

/** Bits of KeyUsage that decide (RFC 5280 §4.2.1.3); bit 0 of ASN.1 is the highest of the first byte. */
export const KEY_USAGE = { digitalSignature: 0x80, keyCertSign: 0x04, cRLSign: 0x02 } as const;

/** What of a certificate's extensions decides; what it does not state is undefined. */
export interface Extensions {
  /** basicConstraints: cA. */
  readonly isAuthority: boolean;
  /** Authorities that may follow below. */
  readonly pathLength: number | undefined;
  /** Bits of the first byte of KeyUsage. */
  readonly keyUsage: number | undefined;
  /** Object identifiers. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** subjectAltName. */
  readonly names: readonly GeneralName[];
  readonly subjectKeyIdentifier: Buffer | undefined;
  readonly authorityKeyIdentifier: Buffer | undefined;
  readonly nameConstraints: NameConstraints | undefined;
  /** Object identifier of a critical extension that is not known here. */
  readonly unknownCritical: string | undefined;
}

/** Most extensions of a certificate, and most extended key usages. */
const MAX_EXTENSIONS = 48;
/** Longest path that a constraint may speak of; longer ones cannot be sent (MAX_CHAIN_LENGTH). */
const MAX_PATH_LENGTH = 127;

type Draft = { -readonly [field in keyof Extensions]: Extensions[field] };

/** Each known extension fills its part of the draft from its value. */
const READERS: { readonly [oid: string]: (value: DerReader, draft: Draft) => void } = {
  '2.5.29.14': (value, draft) => {
    draft.subjectKeyIdentifier = value.content(TAG.octetString, 'subject key identifier');
  },
  '2.5.29.15': (value, draft) => {
    draft.keyUsage = readKeyUsage(value);
  },
  '2.5.29.17': (value, draft) => {
    draft.names = readGeneralNames(value.enter(TAG.sequence, 'subject alternative name'), 'subject alternative name');
  },
  '2.5.29.19': readBasicConstraints,
  '2.5.29.30': (value, draft) => {
    draft.nameConstraints = readNameConstraints(value);
  },
  '2.5.29.35': (value, draft) => {
    draft.authorityKeyIdentifier = readAuthorityKeyIdentifier(value);
  },
  '2.5.29.37': (value, draft) => {
    draft.extendedKeyUsage = readExtendedKeyUsage(value);
  },
};

/** `reader`: the content of `[3]`. */
export function readExtensions(reader: DerReader): Extensions {
  const draft = noExtensions();
  const list = reader.enter(TAG.sequence, 'extensions');
  reader.end('extensions');
  const seen = new Set<string>();
  while (!list.isAtEnd) {
    const extension = list.enter(TAG.sequence, 'extension');
    const oid = extension.oid('extension');
    // RFC 5280 §4.2: no extension twice. Which of the two would count is what programs differ in.
    if (seen.has(oid)) list.fail(`extension ${oid}: there twice`);
    if (seen.size === MAX_EXTENSIONS) list.fail(`more than ${MAX_EXTENSIONS} extensions`);
    seen.add(oid);
    const isCritical = extension.isNext(TAG.boolean);
    // X.690 §11.5: the default, FALSE, is left out
    if (isCritical && !extension.boolean('critical')) extension.fail('critical: the default is stated');
    const value = extension.enter(TAG.octetString, 'extension value');
    extension.end('extension');
    const read = READERS[oid];
    if (read !== undefined) {
      read(value, draft);
      value.end(`extension ${oid}`);
    } else if (isCritical) draft.unknownCritical ??= oid;
  }
  if (seen.size === 0) list.fail('extensions: an empty list');
  return draft;
}

/** Of a certificate without any. */
export function noExtensions(): Draft {
  return {
    isAuthority: false,
    pathLength: undefined,
    keyUsage: undefined,
    extendedKeyUsage: undefined,
    names: [],
    subjectKeyIdentifier: undefined,
    authorityKeyIdentifier: undefined,
    nameConstraints: undefined,
    unknownCritical: undefined,
  };
}

/** RFC 5280 §4.2.1.9. */
function readBasicConstraints(value: DerReader, draft: Draft): void {
  const fields = value.enter(TAG.sequence, 'basic constraints');
  if (fields.isNext(TAG.boolean)) {
    if (!fields.boolean('cA')) fields.fail('cA: the default is stated');
    draft.isAuthority = true;
  }
  if (fields.isNext(TAG.integer)) {
    const length = fields.integer('pathLenConstraint');
    if (!draft.isAuthority) fields.fail('pathLenConstraint: not of an authority');
    if ((length[0] ?? 0) >= 0x80) fields.fail('pathLenConstraint: negative');
    draft.pathLength = length.length === 1 ? (length[0] ?? 0) : MAX_PATH_LENGTH;
  }
  fields.end('basic constraints');
}

function readKeyUsage(value: DerReader): number {
  const { bytes, unusedBits } = value.bitString('key usage');
  const last = bytes[bytes.length - 1] ?? 0;
  // RFC 5280 §4.2.1.3: at least one bit; X.690 §11.2.2: no zero bits at the end
  if (bytes.length > 2 || (last & (1 << unusedBits)) === 0) value.fail('key usage: not canonical');
  return bytes[0] ?? 0;
}

function readExtendedKeyUsage(value: DerReader): readonly string[] {
  const list = value.enter(TAG.sequence, 'extended key usage');
  const usages: string[] = [];
  while (!list.isAtEnd) {
    if (usages.length === MAX_EXTENSIONS) list.fail(`extended key usage: more than ${MAX_EXTENSIONS}`);
    usages.push(list.oid('extended key usage'));
  }
  if (usages.length === 0) list.fail('extended key usage: an empty list');
  return usages;
}

/** RFC 5280 §4.2.1.1. The issuer's name and serial in it are read over: names lead to issuers here, and keys prove them. */
function readAuthorityKeyIdentifier(value: DerReader): Buffer | undefined {
  const fields = value.enter(TAG.sequence, 'authority key identifier');
  const identifier = fields.isNext(contextTag(0)) ? fields.content(contextTag(0), 'key identifier') : undefined;
  while (!fields.isAtEnd) fields.any('authority key identifier');
  return identifier;
}
