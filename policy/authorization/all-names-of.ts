/** Of `TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`. */
const PRINCIPAL_PARTS = 5;

/**
 * A pattern of principals in all names of the own trust domain that it speaks of, so that who is
 * renamed stays under the rules that name him, in either order of renaming him and them. Source: Istio's expansion of
 * `trustDomainAliases`, which leaves prefixes as they are; a DENY of `old.example/ns/shop/*` would end with the renaming. `cluster.local`
 * is no further name here, as it is in Istio: it may be another mesh's, whose bundle has not come yet.
 */
export function allNamesOf(pattern: string, ownDomains: readonly string[]): readonly string[] {
  return ownDomains.length < 2 ? [pattern] : [...new Set([pattern, ...inAllNames(pattern, ownDomains)])];
}

function inAllNames(pattern: string, ownDomains: readonly string[]): readonly string[] {
  const slash = pattern.indexOf('/');
  const path = slash === -1 ? '/*' : pattern.slice(slash);
  const domain = slash === -1 ? pattern : pattern.slice(0, slash);
  return ownDomains.some(isMeantBy(pattern, domain)) ? ownDomains.map((name) => `${name}${path}`) : [];
}

/** Whether a pattern whose first part is `domain` says anything of the name of a trust domain. */
function isMeantBy(pattern: string, domain: string): (name: string) => boolean {
  if (!pattern.startsWith('*')) {
    const isPrefix = domain.endsWith('*') && domain === pattern;
    return isPrefix ? (name) => name.startsWith(domain.slice(0, -1)) : (name) => name === domain;
  }
  // The end of a path alone is that of every domain, and one with a further asterisk is nobody's.
  const isWhole = pattern.split('/').length === PRINCIPAL_PARTS && !pattern.endsWith('*');
  return isWhole && domain !== '*' ? (name) => name.endsWith(domain.slice(1)) : () => false;
}
