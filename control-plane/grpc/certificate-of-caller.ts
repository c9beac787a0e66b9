import { X509Certificate } from 'node:crypto';
import type { AuthContext } from '@grpc/grpc-js/build/src/auth-context.js';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { identityOfLeaf } from '#policy/x509/peer-identity.ts';
import { refusedBy } from './refuse-call.ts';

/** A call, as far as the proof of its caller goes. */
export interface AuthenticatedCall {
  getAuthContext(): AuthContext;
}

/** Why a certificate of this identity and serial number (hex) is not to be believed; undefined: it may be. */
export type IsRevoked = (uri: string, serial: string) => string | undefined;

/** An identity proven by a certificate, and how long the proof holds. */
export interface CertifiedCaller {
  readonly identity: SpiffeId;
  readonly expiresAtMs: number;
}

/**
 * The identity that the caller's certificate proves: verified against the mesh's roots by the handshake, one
 * SPIFFE ID of this trust domain, not expired, not revoked. Undefined: no certificate, or one of foreign roots.
 */
export function certificateOfCaller(
  call: AuthenticatedCall,
  trustDomain: string,
  nowMs: number,
  isRevoked: IsRevoked,
): CertifiedCaller | undefined {
  const raw = call.getAuthContext().sslPeerCertificate?.raw;
  if (raw === undefined) return undefined;
  const certificate = new X509Certificate(raw);
  const result = identityOfLeaf(certificate);
  if (result.kind === 'invalid') throw refusedBy('invalid_spiffe_id', result.reason);
  if (result.id.trustDomain !== trustDomain) {
    throw refusedBy(
      'foreign_trust_domain',
      `the certificate is of trust domain ${result.id.trustDomain}, not of ${trustDomain}`,
    );
  }
  const expiresAtMs = certificate.validToDate.getTime();
  // A connection outlives its handshake, a resumed session its first: the end is checked at each call.
  if (expiresAtMs <= nowMs) {
    throw refusedBy('certificate_expired', `the certificate expired at ${certificate.validTo}`);
  }
  const revocation = isRevoked(result.id.uri, certificate.serialNumber);
  if (revocation !== undefined) throw refusedBy('certificate_revoked', revocation);
  return { identity: result.id, expiresAtMs };
}
