import type { Code } from '../error/codes.ts';
import { parseSpiffeId, type SpiffeId } from '../identity/spiffe-id.ts';
import { type Certificate, readCertificate } from './read-certificate.ts';

export type LeafIdentity =
  | { readonly kind: 'identity'; readonly id: SpiffeId }
  | { readonly kind: 'refused'; readonly code: Code; readonly reason: string };

/** Whom a leaf names: the one URI among its alternative names. Other names identify nobody (X509-SVID §2, §5.2). */
export function leafIdentity({ extensions }: Certificate): LeafIdentity {
  if (extensions.isAuthority) {
    return refused('certificate_is_authority', 'the certificate is an authority, not a leaf');
  }
  const uris = extensions.names.filter(({ form }) => form === 'uri');
  const [only] = uris;
  if (only === undefined) return refused('missing_spiffe_id', 'the certificate has no URI SAN, so no SPIFFE ID');
  if (uris.length > 1) {
    return refused('several_uri_names', `the certificate has ${uris.length} URI SANs; one is allowed`);
  }
  // ASCII, as the reader saw to
  const result = parseSpiffeId(only.value.toString('latin1'));
  if (result.kind === 'invalid') return refused('invalid_spiffe_id', result.reason);
  return { kind: 'identity', id: result.id };
}

/** The same of DER that a handshake brought, where an exception would be nobody's: what cannot be read is refused. */
export function identityOfDer(der: Buffer): LeafIdentity {
  try {
    return leafIdentity(readCertificate(der));
  } catch (error) {
    return refused('malformed_certificate', error instanceof Error ? error.message : String(error));
  }
}

function refused(code: Code, reason: string): LeafIdentity {
  return { kind: 'refused', code, reason };
}
