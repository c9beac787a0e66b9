import { createHash } from 'node:crypto';
import {
  bits,
  bitsOf,
  boolean,
  childrenOf,
  type Der,
  decodeDer,
  encodeDer,
  integer,
  octets,
  oid,
  sequence,
  tagged,
  taggedBytes,
} from './der.ts';

/** Object identifiers of RFC 5280 §4.2.1. */
export const SUBJECT_KEY_IDENTIFIER = '2.5.29.14';
const KEY_USAGE = '2.5.29.15';
export const SUBJECT_ALT_NAME = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const AUTHORITY_KEY_IDENTIFIER = '2.5.29.35';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** Tags of dNSName and uniformResourceIdentifier in GeneralName. */
const DNS_NAME = 2;
export const URI_NAME = 6;

/** RFC 5280 §4.2.1.3: bit 0 is digitalSignature, 5 keyCertSign, 6 cRLSign. */
const DIGITAL_SIGNATURE_BIT = { bytes: Buffer.of(0b1000_0000), unusedBits: 7 };
const SIGN_BITS = { bytes: Buffer.of(0b0000_0110), unusedBits: 1 };

/** One URI; critical where the subject is empty (RFC 5280 §4.2.1.6). */
export function subjectAltName(uri: string, isCritical: boolean): Der {
  return extension(SUBJECT_ALT_NAME, isCritical, sequence(taggedBytes(URI_NAME, Buffer.from(uri, 'latin1'))));
}

/** DNS names; critical, as the subject is empty (RFC 5280 §4.2.1.6). */
export function dnsAltNames(names: readonly string[]): Der {
  const tagged = names.map((name) => taggedBytes(DNS_NAME, Buffer.from(name, 'latin1')));
  return extension(SUBJECT_ALT_NAME, true, sequence(...tagged));
}

export function digitalSignatureUsage(): Der {
  return extension(KEY_USAGE, true, bits(DIGITAL_SIGNATURE_BIT.bytes, DIGITAL_SIGNATURE_BIT.unusedBits));
}

export function certificateSigningUsage(): Der {
  return extension(KEY_USAGE, true, bits(SIGN_BITS.bytes, SIGN_BITS.unusedBits));
}

export function serverAndClientUsage(): Der {
  return extension(EXTENDED_KEY_USAGE, false, sequence(oid(SERVER_AUTH), oid(CLIENT_AUTH)));
}

export function serverUsage(): Der {
  return extension(EXTENDED_KEY_USAGE, false, sequence(oid(SERVER_AUTH)));
}

/** `undefined`: not an authority (the default FALSE is left out, as DER demands). */
export function basicConstraints(pathLength: number | undefined): Der {
  const fields = pathLength === undefined ? [] : [boolean(true), integer(Buffer.of(pathLength))];
  return extension(BASIC_CONSTRAINTS, true, sequence(...fields));
}

export function subjectKeyIdentifier(identifier: Buffer): Der {
  return extension(SUBJECT_KEY_IDENTIFIER, false, octets(identifier));
}

export function authorityKeyIdentifier(identifier: Buffer): Der {
  return extension(AUTHORITY_KEY_IDENTIFIER, false, sequence(taggedBytes(0, identifier)));
}

/** `[3] EXPLICIT` of a TBSCertificate. */
export function extensions(...list: readonly Der[]): Der {
  return tagged(3, sequence(...list));
}

/** RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of the key's BIT STRING. */
export function keyIdentifier(subjectPublicKeyInfo: Buffer): Buffer {
  const key = bitsOf(childrenOf(decodeDer(subjectPublicKeyInfo), 'public key')[1], 'public key');
  return createHash('sha256').update(key).digest().subarray(0, 20);
}

function extension(identifier: string, isCritical: boolean, value: Der): Der {
  return isCritical
    ? sequence(oid(identifier), boolean(true), octets(encodeDer(value)))
    : sequence(oid(identifier), octets(encodeDer(value)));
}
