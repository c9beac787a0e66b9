import type { KeyObject } from 'node:crypto';
import { type Der, decodeDer, integer, sequence, tagged, time } from './der.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  certificateSigningUsage,
  digitalSignatureUsage,
  extensions,
  keyIdentifier,
  serverAndClientUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from './extensions.ts';
import { distinguishedName, EMPTY_NAME, type IssuerNames, namesOf } from './names.ts';
import { signatureAlgorithm, signed } from './signature.ts';

/** Certificates begin this long before they are made, where nothing else is said: clocks of a mesh differ. */
export const CLOCK_SKEW_ALLOWANCE_MS = 5 * 60_000;
/** Bytes of randomness that a serial number is made from. RFC 5280 §4.1.2.2 allows 20. */
export const SERIAL_BYTES = 16;

/** X.509 v3, RFC 5280 §4.1.2.1. */
const VERSION_3 = Buffer.of(2);

/** Whoever signs: its certificate gives issuer name, key identifier and the latest end. */
export interface Issuer {
  readonly certificate: Buffer;
  readonly privateKey: KeyObject;
  /** When the issuer's own certificate ends. */
  readonly notAfterMs: number;
}

export interface LeafRequest {
  /** The one URI SAN. */
  readonly uri: string;
  /** DER. */
  readonly subjectPublicKeyInfo: Buffer;
  readonly nowMs: number;
  readonly lifetimeMs: number;
  /** How long before now it begins; default CLOCK_SKEW_ALLOWANCE_MS. */
  readonly clockSkewMs?: number;
  /** SERIAL_BYTES random bytes. */
  readonly serial: Buffer;
}

/** An issuer signs thousands: its certificate is read once. */
const issuerNames = new WeakMap<Buffer, IssuerNames>();

/** When a certificate that is to end then does end: times in certificates are whole seconds (RFC 5280 §4.1.2.5). */
export function wholeSecond(atMs: number): number {
  return Math.floor(atMs / 1_000) * 1_000;
}

/**
 * A workload's certificate (X509-SVID §2-4): empty subject, one critical URI SAN, for TLS servers and
 * clients, no authority. It never outlives its issuer. Returns DER.
 */
export function issueLeaf(request: LeafRequest, issuer: Issuer): Buffer {
  const names = issuerNames.get(issuer.certificate) ?? namesOf(issuer.certificate);
  issuerNames.set(issuer.certificate, names);
  const notAfterMs = Math.min(request.nowMs + request.lifetimeMs, issuer.notAfterMs);
  return certificate({
    ...request,
    notAfterMs,
    issuerName: names.subject,
    subject: EMPTY_NAME,
    signer: issuer.privateKey,
    extensions: [
      basicConstraints(undefined),
      digitalSignatureUsage(),
      serverAndClientUsage(),
      subjectAltName(request.uri, true),
      ...keyIdentifiers(names, request.subjectPublicKeyInfo),
    ],
  });
}

export interface AuthorityRequest {
  readonly commonName: string;
  readonly trustDomain: string;
  /** Authorities that may follow below: 0 for one that issues leaves only. */
  readonly pathLength: number;
  readonly subjectPublicKeyInfo: Buffer;
  readonly nowMs: number;
  readonly lifetimeMs: number;
  /** How long before now it begins; default CLOCK_SKEW_ALLOWANCE_MS. */
  readonly clockSkewMs?: number;
  readonly serial: Buffer;
}

/** A root's certificate, signed by its own key. Returns DER. */
export function issueRoot(request: AuthorityRequest, privateKey: KeyObject): Buffer {
  const subject = decodeDer(distinguishedName(request.trustDomain, request.commonName));
  const names = { subject, keyIdentifier: keyIdentifier(request.subjectPublicKeyInfo) };
  return authorityCertificate(request, names, privateKey, request.nowMs + request.lifetimeMs);
}

/** An issuing authority's certificate, signed by the root. It never outlives the root. Returns DER. */
export function issueAuthority(request: AuthorityRequest, issuer: Issuer): Buffer {
  const notAfterMs = Math.min(request.nowMs + request.lifetimeMs, issuer.notAfterMs);
  return authorityCertificate(request, namesOf(issuer.certificate), issuer.privateKey, notAfterMs);
}

function authorityCertificate(
  request: AuthorityRequest,
  issuer: IssuerNames,
  signer: KeyObject,
  notAfterMs: number,
): Buffer {
  return certificate({
    ...request,
    notAfterMs,
    issuerName: issuer.subject,
    subject: decodeDer(distinguishedName(request.trustDomain, request.commonName)),
    signer,
    extensions: [
      basicConstraints(request.pathLength),
      certificateSigningUsage(),
      // X509-SVID §3.1: a signing certificate carries the trust domain's own ID.
      subjectAltName(`spiffe://${request.trustDomain}`, false),
      ...keyIdentifiers(issuer, request.subjectPublicKeyInfo),
    ],
  });
}

/** Of the certificate's own key and, where the issuer states one, of the issuer's. */
export function keyIdentifiers(issuer: IssuerNames, subjectPublicKeyInfo: Buffer): Der[] {
  const own = subjectKeyIdentifier(keyIdentifier(subjectPublicKeyInfo));
  return issuer.keyIdentifier === undefined ? [own] : [own, authorityKeyIdentifier(issuer.keyIdentifier)];
}

/** What every certificate states. */
export interface CertificateContent {
  readonly serial: Buffer;
  readonly issuerName: Der;
  readonly subject: Der;
  readonly nowMs: number;
  /** Default CLOCK_SKEW_ALLOWANCE_MS. */
  readonly clockSkewMs?: number;
  readonly notAfterMs: number;
  readonly subjectPublicKeyInfo: Buffer;
  readonly extensions: readonly Der[];
  readonly signer: KeyObject;
}

/** RFC 5280 §4.1. Returns DER. */
export function certificate(content: CertificateContent): Buffer {
  const beginsMs = content.nowMs - (content.clockSkewMs ?? CLOCK_SKEW_ALLOWANCE_MS);
  const body = sequence(
    tagged(0, integer(VERSION_3)),
    integer(serialNumber(content.serial)),
    signatureAlgorithm(content.signer),
    content.issuerName,
    sequence(time(new Date(beginsMs)), time(new Date(content.notAfterMs))),
    content.subject,
    decodeDer(content.subjectPublicKeyInfo),
    extensions(...content.extensions),
  );
  return signed(body, content.signer);
}

/**
 * All 128 bits as they were drawn, in the shortest two's complement (X.690 §8.3.2): a zero byte before them keeps the number positive,
 * and zeros that begin it go. RFC 5280 §4.1.2.2: at most 20 bytes, and not zero.
 */
function serialNumber(drawn: Buffer): Buffer {
  if (drawn.length !== SERIAL_BYTES) throw new Error(`a serial of ${drawn.length} bytes; expected ${SERIAL_BYTES}`);
  const first = drawn.findIndex((byte) => byte !== 0);
  if (first === -1) throw new Error('a serial of zero');
  const bytes = drawn.subarray(first);
  return (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.of(0), bytes]);
}
