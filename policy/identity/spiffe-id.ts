/**
 * A workload's identity: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT`.
 * Source: SPIFFE-ID §2 (syntax), Istio (the path's form).
 */
export interface SpiffeId {
  /** The whole ID, with its scheme. */
  readonly uri: string;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** As policies write it: `cluster.local/ns/shop/sa/web`, without the scheme. */
  readonly principal: string;
}

/** SPIFFE-ID §2.3: "implementations MUST support SPIFFE URIs up to 2048 bytes". */
export const MAX_SPIFFE_ID_BYTES = 2048;
/** SPIFFE-ID §2.1: a trust domain's name is at most 255 bytes. */
export const MAX_TRUST_DOMAIN_BYTES = 255;

const TRUST_DOMAIN = /^[a-z0-9._-]+$/;
const PATH_SEGMENT = /^[a-zA-Z0-9._-]+$/;

export type SpiffeIdResult =
  | { readonly kind: 'valid'; readonly id: SpiffeId }
  | { readonly kind: 'invalid'; readonly reason: string };

/** Reads a SPIFFE ID of the mesh's form; the reason says which part of it is wrong. */
export function parseSpiffeId(uri: string): SpiffeIdResult {
  if (Buffer.byteLength(uri) > MAX_SPIFFE_ID_BYTES) return invalid(`longer than ${MAX_SPIFFE_ID_BYTES} bytes`);
  if (!uri.startsWith('spiffe://')) return invalid('does not begin with spiffe://');
  const [trustDomain = '', ...segments] = uri.slice('spiffe://'.length).split('/');
  const domainComplaint = trustDomainComplaint(trustDomain);
  if (domainComplaint !== undefined) return invalid(domainComplaint);
  if (segments.length === 0) return invalid('has no path; expected /ns/NAMESPACE/sa/SERVICEACCOUNT');
  for (const segment of segments) {
    if (segment === '') return invalid('has an empty path segment');
    if (segment === '.' || segment === '..') return invalid('has a dot segment in its path');
    if (!PATH_SEGMENT.test(segment))
      return invalid('its path has a character other than letters, digits, ".", "_", "-"');
  }
  const [ns, namespace, sa, serviceAccount, ...rest] = segments;
  if (ns !== 'ns' || sa !== 'sa' || namespace === undefined || serviceAccount === undefined || rest.length > 0) {
    return invalid('its path is not of the form /ns/NAMESPACE/sa/SERVICEACCOUNT');
  }
  return { kind: 'valid', id: spiffeId(trustDomain, namespace, serviceAccount) };
}

/** What is wrong with a trust domain's name, or undefined. Source: SPIFFE-ID §2.1. */
export function trustDomainComplaint(name: string): string | undefined {
  if (name === '') return 'has an empty trust domain';
  if (name.length > MAX_TRUST_DOMAIN_BYTES) return `has a trust domain longer than ${MAX_TRUST_DOMAIN_BYTES} bytes`;
  if (!TRUST_DOMAIN.test(name)) return 'has a trust domain with a character other than a-z, 0-9, ".", "_", "-"';
  return undefined;
}

/** Puts an ID together from parts that are already known to be valid. */
export function spiffeId(trustDomain: string, namespace: string, serviceAccount: string): SpiffeId {
  const principal = `${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
  return { uri: `spiffe://${principal}`, trustDomain, namespace, serviceAccount, principal };
}

function invalid(reason: string): SpiffeIdResult {
  return { kind: 'invalid', reason: `SPIFFE ID ${reason}` };
}
