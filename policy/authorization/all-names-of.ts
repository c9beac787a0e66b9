/** Of `TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`. */
const PRINCIPAL_PARTS = 5;
/** In policies, whatever the own trust domain is called. */
const OWN_DOMAIN = 'cluster.local';

/** What the own trust domain is called. */
export interface OwnDomains {
  /** The present name and its aliases. */
  readonly names: readonly string[];
  /** Another mesh's, with which this one federates: then `cluster.local` is no word for the own domain. */
  readonly isClusterLocalForeign?: boolean;
}

/**
 * A pattern of principals in all names of the own trust domain, where it speaks of one. Source: Istio (`trustDomainAliases`), to the
 * letter: only whole principals are, and a trust domain with an asterisk before it stays as it is for the names that it matches.
 */
export function allNamesOf(pattern: string, own: OwnDomains): readonly string[] {
  const parts = pattern.split('/');
  const [domain = '', ...path] = parts;
  if (parts.length !== PRINCIPAL_PARTS || domain === '*') return [pattern];
  const isOwn = own.names.some((name) => isMeantBy(domain, name));
  if (!isOwn && (domain !== OWN_DOMAIN || own.isClusterLocalForeign === true)) return [pattern];
  const all = own.names.map((name) => (isEndOf(domain, name) ? pattern : [name, ...path].join('/')));
  return [...new Set(all)];
}

/** A trust domain alone; one with an asterisk is no name. Source: Istio. */
export function allDomainsOf(pattern: string, own: OwnDomains): readonly string[] {
  return own.names.includes(pattern) ? own.names : [pattern];
}

function isMeantBy(domain: string, name: string): boolean {
  return domain === name || (domain.endsWith('*') && name.startsWith(domain.slice(0, -1))) || isEndOf(domain, name);
}

function isEndOf(domain: string, name: string): boolean {
  return domain.startsWith('*') && name.endsWith(domain.slice(1));
}
