import type { RequestClaims } from '../workload-policy.ts';
import type { Seen } from './attribute.ts';

/** Between issuer and subject as they are compared: a rule says something of each, and both may have slashes. */
export const ISSUER_END = '\0';
/** Claims that are lists written in one text. Source: Istio's configuration of Envoy's jwt_authn. */
const SPACE_DELIMITED: ReadonlySet<string> = new Set(['scope', 'permission']);

/** Issuer and subject as they are compared; undefined: a token that has not both is nobody's. */
export function requestPrincipal(claims: RequestClaims | undefined): string | undefined {
  if (claims === undefined) return undefined;
  const { iss, sub } = claims.all;
  if (typeof iss !== 'string' || typeof sub !== 'string' || iss === '' || sub === '') return undefined;
  return iss.includes(ISSUER_END) || sub.includes(ISSUER_END) ? undefined : iss + ISSUER_END + sub;
}

/**
 * A pattern of `requestPrincipals` as texts of `requestPrincipal` are compared with it. Its last slash divides issuer and subject, as
 * in Istio; without one it is the start of an issuer or the end of a subject, by where its `*` stands.
 */
export function requestPrincipalPattern(value: string): string {
  const slash = value.lastIndexOf('/');
  if (slash !== -1) return value.slice(0, slash) + ISSUER_END + value.slice(slash + 1);
  return value.startsWith('*') || value.endsWith('*') ? value : value + ISSUER_END;
}

/** A text or several; what is neither is seen by no rule. Source: Istio, which compares texts and lists of texts. */
export function claimValue(claims: RequestClaims | undefined, names: readonly string[]): Seen {
  let value: unknown = claims?.all;
  for (const name of names) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) {
      return undefined;
    }
    value = (value as { readonly [name: string]: unknown })[name];
  }
  if (typeof value === 'string') {
    const [only = ''] = names;
    return names.length === 1 && SPACE_DELIMITED.has(only) ? value.split(' ').filter((word) => word !== '') : value;
  }
  if (!Array.isArray(value)) return undefined;
  return value.every(isText) ? value : value.filter(isText);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
