import type { X509Certificate } from 'node:crypto';
import { identityOfCertificate } from '../identity/certificate-identity.ts';
import type { SpiffeIdResult } from '../identity/spiffe-id.ts';

/**
 * The SPIFFE ID of a leaf whose chain was verified already: it must have exactly one URI SAN and be no authority
 * (X509-SVID §2 and §4.1).
 */
export function identityOfLeaf(certificate: X509Certificate): SpiffeIdResult {
  if (certificate.ca) return { kind: 'invalid', reason: 'the certificate is of an authority, not of a workload' };
  return identityOfCertificate(certificate.subjectAltName);
}
