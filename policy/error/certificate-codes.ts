import { type CodeEntry, GRPC } from './code-entry.ts';

/** The connection is closed without an answer; both ends' logs say why. */
function refused(title: string, meaning: string, remedy: string) {
  return {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.unauthenticated,
    title,
    meaning,
    remedy,
  } as const satisfies CodeEntry;
}

/** Refusals of a peer's certificate, in the order in which it is judged. */
export const CERTIFICATE_CODES = {
  malformed_certificate: refused(
    'Malformed certificate',
    'A certificate of the chain is not DER to the letter, is not of X.509 version 3, or a bound of its size is exceeded.',
    'The reason names certificate, position and rule. Issue it by a program that keeps to RFC 5280.',
  ),
  certificate_chain_too_long: refused(
    'Too many certificates',
    'The peer sent more certificates than may lie between a workload and its root. TLS has verified each of them by then, so that no handshake from its address is begun for 10 s.',
    'Send the certificate of the workload and those of the authorities between it and the root, and no others.',
  ),
  certificate_is_authority: refused(
    'Certificate of an authority',
    'The peer identifies itself by the certificate of an authority, which is for signing alone (X509-SVID §5.2).',
    'Give the workload a certificate of its own.',
  ),
  missing_spiffe_id: refused(
    'No identity',
    'The peer certificate has no URI SAN, so no SPIFFE ID; DNS names and common names identify nobody.',
    'Issue the certificate through the control plane, or with one URI SAN spiffe://TRUST-DOMAIN/ns/N/sa/S.',
  ),
  several_uri_names: refused(
    'Several identities',
    'The peer certificate has more than one URI SAN (X509-SVID §2 allows one).',
    'Issue one certificate for each identity.',
  ),
  invalid_spiffe_id: refused(
    'Invalid identity',
    'The URI SAN of the peer certificate is no SPIFFE ID of the form spiffe://TRUST-DOMAIN/ns/N/sa/S.',
    'The reason names the rule. Issue the certificate through the control plane, or with a SPIFFE ID of that form.',
  ),
  foreign_trust_domain: refused(
    'Foreign trust domain',
    'The peer identity is of a trust domain this mesh does not know.',
    'Check trustDomain in both configurations.',
  ),
  untrusted_issuer: refused(
    'Issuer not trusted',
    "No chain leads from the peer certificate to a root of its own trust domain. Another domain's root vouches for its own domain alone.",
    'Compare the issuer that the reason names with the roots of that trust domain; the peer may have sent too few certificates.',
  ),
  certificate_signature_invalid: refused(
    'Signature not valid',
    'A certificate of the chain names an issuer of which the name is known, and was not signed by its key: it was altered, or made by somebody of the same name.',
    'Find out who issued it: two authorities of one name are the usual cause.',
  ),
  weak_signature: refused(
    'Signature or key not accepted',
    'A signature of the chain is not ECDSA, RSA (PKCS #1 v1.5) with SHA-2, or Ed25519, or a key is not P-256, P-384, RSA of 2048 to 8192 bits or Ed25519 (issuers: also P-521).',
    'The reason names certificate and algorithm. Have it issued anew.',
  ),
  unknown_critical_extension: refused(
    'Unknown critical extension',
    'A certificate of the chain has a critical extension that is not known here; such a certificate is to be refused (RFC 5280 §4.2).',
    'The reason names the object identifier. Issue the certificate without it, or not as critical.',
  ),
  path_length_exceeded: refused(
    'Too many authorities',
    'More authorities follow an issuer in the chain than its pathLenConstraint allows.',
    'Have the issuer certified with a greater path length, or sign with it.',
  ),
  name_constraint_violated: refused(
    'Name not allowed by an issuer',
    'An issuer of the chain may not vouch for this name: its name constraints (RFC 5280 §4.2.1.10) exclude or do not permit it.',
    'The reason names issuer and name. URI constraints apply to the trust domain.',
  ),
  wrong_key_usage: refused(
    'Wrong key usage',
    'The key usages do not allow it: digitalSignature, and neither keyCertSign nor cRLSign, for the peer; keyCertSign for its issuers.',
    'Issue the certificate with the right usages.',
  ),
  wrong_extended_key_usage: refused(
    'Wrong extended key usage',
    'The extended key usages are stated, and serverAuth (of a server) or clientAuth (of a client) is not among them.',
    'Issue the certificate with both serverAuth and clientAuth, as X509-SVID §4.4 demands.',
  ),
  certificate_expired: refused(
    'Certificate expired',
    'A certificate of the chain has ended.',
    'The reason names the certificate, its times and the clock here: compare the clocks, then look why it was not renewed.',
  ),
  certificate_not_yet_valid: refused(
    'Certificate not yet valid',
    'A certificate of the chain begins in the future.',
    'The reason names the certificate, its times and the clock here: one of the clocks is wrong.',
  ),
  certificate_revoked: refused(
    'Certificate revoked',
    'The identity, or a certificate of the chain by its serial, was revoked.',
    '`lateral ca reinstate` takes a revocation back; else find out who still uses it.',
  ),
} as const;
