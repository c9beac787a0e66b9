import { type SpiffeId, spiffeId } from '../identity/spiffe-id.ts';
import type { RevocationListSpec } from '../resource/kinds/revocation-list.ts';
import type { TrustBundleSpec } from '../resource/kinds/trust-bundle.ts';
import { certificatesFromPem, certificatesToPem } from '../x509/pem.ts';
import { type Root, readRoot } from '../x509/root.ts';

/** Whom a sidecar believes now. Replaced as a whole when anything of it changes. */
export interface PeerTrust {
  /** The roots that vouch for identities of a trust domain, for those of its aliases too; undefined: it is not known. */
  rootsOf(trustDomain: string): readonly Root[] | undefined;
  /** Why an identity, or the certificate of this serial (lower-case hex), is not to be believed; undefined: it is. */
  revocationOf(uri: string, serial: string): string | undefined;
  /** The roots by domain, and the aliases, as text: who has a path under one trust has it under all others of the same text. */
  readonly rootsText: string;
  /** The identity under the own trust domain's present name, where it is of an alias; else as it is. */
  canonical(id: SpiffeId): SpiffeId;
  /**
   * A root of each distinct name; PEM. For the names of acceptable authorities that a listener tells its callers; none where these are
   * longer than MAX_AUTHORITY_NAMES_BYTES together.
   */
  readonly authoritiesPem: readonly string[];
}

/** The roots of one trust domain; PEM, one after the other. */
export interface TrustedDomain {
  readonly trustDomain: string;
  readonly rootsPem: string;
}

/**
 * Bytes of all names that a listener tells its callers (DER). A handshake message of more than 64 KiB or so is refused by them, and each
 * handshake carries these. Above that none is told, which is to say any (RFC 8446 §4.2.4, RFC 5246 §7.4.4): a part of them would have
 * those who go by names, of a domain whose names are left out, present no certificate.
 */
export const MAX_AUTHORITY_NAMES_BYTES = 16 * 1024;

const SCHEME = 'spiffe://';

export const NOBODY_REVOKED: RevocationListSpec = { identities: [], serials: [] };

/** `domains`: the own one first. `aliases`: further names of the own. Throws where a root cannot be read. */
export function compileTrust(
  domains: readonly TrustedDomain[],
  aliases: readonly string[],
  revocations: RevocationListSpec,
): PeerTrust {
  return compileDomains(domains, aliases)(revocations);
}

/** The same but for the revocations, which change often, while to read the roots takes long: it is done once for all of them. */
export function compileDomains(
  domains: readonly TrustedDomain[],
  aliases: readonly string[],
): (revocations: RevocationListSpec) => PeerTrust {
  const [own] = domains;
  const rootsByDomain = new Map(domains.map(({ trustDomain, rootsPem }) => [trustDomain, rootsIn(rootsPem)]));
  const ownNames = new Set(own === undefined ? [] : [own.trustDomain, ...aliases]);
  const ownRoots = own === undefined ? undefined : rootsByDomain.get(own.trustDomain);
  /** One text for an identity, under whichever name of its trust domain: a revoked one must not come back by another. */
  const oneText = (uri: string) => {
    const path = uri.indexOf('/', SCHEME.length);
    return own !== undefined && ownNames.has(uri.slice(SCHEME.length, path))
      ? `${SCHEME}${own.trustDomain}${uri.slice(path)}`
      : uri;
  };
  const lasting: Omit<PeerTrust, 'revocationOf'> = {
    rootsOf: (trustDomain) => (ownNames.has(trustDomain) ? ownRoots : rootsByDomain.get(trustDomain)),
    rootsText: JSON.stringify([domains, aliases]),
    canonical: (id) =>
      own === undefined || id.trustDomain === own.trustDomain || !ownNames.has(id.trustDomain)
        ? id
        : spiffeId(own.trustDomain, id.namespace, id.serviceAccount),
    authoritiesPem: authoritiesAmong([...rootsByDomain.values()].flat()),
  };
  return (revocations) => {
    const identities = new Map(revocations.identities.map(({ id, at }) => [oneText(id), at]));
    const serials = new Map(revocations.serials.map(({ serial, at }) => [serial, at]));
    return {
      ...lasting,
      revocationOf(uri, serial) {
        const identityAt = identities.get(oneText(uri));
        if (identityAt !== undefined) return `${uri} was revoked at ${identityAt}`;
        const serialAt = serials.get(serial);
        return serialAt === undefined ? undefined : `the certificate ${serial} was revoked at ${serialAt}`;
      },
    };
  };
}

function authoritiesAmong(roots: readonly Root[]): readonly string[] {
  const byName = new Map(roots.map((root) => [root.subject.toString('latin1'), root]));
  const distinct = [...byName.values()];
  const bytes = distinct.reduce((sum, { subject }) => sum + subject.length, 0);
  return bytes <= MAX_AUTHORITY_NAMES_BYTES ? distinct.map(({ der }) => certificatesToPem([der])) : [];
}

/** The domains of a TrustBundle. */
export function trustedDomainsOf({ domains }: TrustBundleSpec): readonly TrustedDomain[] {
  return domains.map(({ trustDomain, roots }) => ({
    trustDomain,
    rootsPem: roots.map((root) => root.trimEnd()).join('\n'),
  }));
}

function rootsIn(pem: string): readonly Root[] {
  return certificatesFromPem(pem).map(readRoot);
}
