import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls';
import { CODES, type Code } from '#policy/error/codes.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { PeerTrust } from '#policy/trust/peer-trust.ts';
import { verifyPeer } from '#policy/x509/verify-peer.ts';

/** Certificates of the server's chain that are looked at. */
const MAX_SENT_CERTIFICATES = 16;

/** What is wrong with the certificate of a server that should be the control plane; undefined: nothing. Its code leads the sentence. */
export function serverComplaint(
  certificate: PeerCertificate | DetailedPeerCertificate,
  expected: SpiffeId,
  trust: PeerTrust,
  nowMs: number,
): Error | undefined {
  const verdict = verifyPeer(chainOf(certificate), trust, nowMs, 'server');
  if (verdict.kind === 'refused') {
    return new Error(`the server is not the control plane: ${verdict.code}: ${verdict.reason}`);
  }
  if (verdict.id.uri === expected.uri) return undefined;
  return new Error(
    `the server is not the control plane: identity_mismatch: it proved ${verdict.id.uri}, expected ${expected.uri}`,
  );
}

/**
 * The code of why a handshake with the control plane failed. OpenSSL judges this one connection too, and first, since gRPC's client
 * has no other way to end it.
 */
export function codeOfHandshakeFailure(message: string): Code | undefined {
  const [, own] = OWN_SENTENCE.exec(message) ?? [];
  if (own !== undefined && isCode(own)) return own;
  return FOUND_BY_OPENSSL.find(([pattern]) => pattern.test(message))?.[1];
}

const OWN_SENTENCE = /the server is not the control plane: ([a-z_]+): /;

function isCode(text: string): text is Code {
  return Object.hasOwn(CODES, text);
}

/** X509_verify_cert_error_string(3). */
const FOUND_BY_OPENSSL: readonly (readonly [RegExp, Code])[] = [
  [/certificate has expired/, 'certificate_expired'],
  [/certificate is not yet valid/, 'certificate_not_yet_valid'],
  [/self-signed certificate|unable to (get|verify)/, 'untrusted_issuer'],
  [/certificate signature failure/, 'certificate_signature_invalid'],
  [/(key|digest|md) too weak/i, 'weak_signature'],
  [/unsuitable certificate purpose/, 'wrong_extended_key_usage'],
  [/subtree violation/, 'name_constraint_violated'],
  [/path length constraint exceeded/, 'path_length_exceeded'],
  [/unhandled critical extension/, 'unknown_critical_extension'],
];

/** Leaf first; a self-signed certificate names itself as its issuer, which ends the chain. */
function chainOf(leaf: PeerCertificate | DetailedPeerCertificate): Buffer[] {
  const chain: Buffer[] = [];
  let one: PeerCertificate | DetailedPeerCertificate | undefined = leaf;
  while (one !== undefined && chain.length < MAX_SENT_CERTIFICATES) {
    const { raw } = one;
    if (raw === undefined || chain.at(-1)?.equals(raw) === true) break;
    chain.push(raw);
    one = 'issuerCertificate' in one ? one.issuerCertificate : undefined;
  }
  return chain;
}
