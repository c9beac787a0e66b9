import { randomBytes } from 'node:crypto';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { CLOCK_SKEW_ALLOWANCE_MS, issueLeaf, SERIAL_BYTES, wholeSecond } from '#policy/x509/certificate.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import type { AuthorityMaterial, IssuingMaterial } from './authority-material.ts';
import { formerSigner } from './former-authority.ts';
import { Revocations } from './revocations.ts';

/** How long a workload's certificate is valid. */
export const LEAF_LIFETIME_MS = 24 * 3_600_000;
/** What may be configured: shorter ones would be renewed all the time, longer ones outlive whoever asked for them. */
export const LEAF_LIFETIME_LIMITS = { minimumMs: 5 * 60_000, maximumMs: 90 * 86_400_000 } as const;
/** How far back certificates are dated. */
export const CLOCK_SKEW_MS = CLOCK_SKEW_ALLOWANCE_MS;
export const CLOCK_SKEW_LIMITS = { minimumMs: 0, maximumMs: 3_600_000 } as const;

/** A certificate that was just issued. */
export interface IssuedCertificate {
  /** Leaf first, then intermediates; DER. */
  readonly chain: readonly Buffer[];
  readonly expiresAtMs: number;
}

/** Signs certificates of the mesh. Who may have which is decided before (`proveCaller`). */
export interface Authority {
  /** The roots to trust: own, next, and those of former authorities while leaves of theirs are about; DER. */
  readonly trustBundle: readonly Buffer[];
  readonly trustBundlePem: string;
  readonly issuerNotAfterMs: number;
  /** Whose certificates are good for nothing: to be asked before a caller is believed. */
  readonly revocations: Revocations;
  issue(identity: SpiffeId, subjectPublicKeyInfo: Buffer): IssuedCertificate;
  /** Signs with other keys and certificates from now on. */
  replace(material: AuthorityMaterial): void;
}

export interface AuthorityOptions {
  readonly leafLifetimeMs: number;
  /** Default CLOCK_SKEW_MS. */
  readonly clockSkewMs?: number;
  readonly now: () => number;
  /** Hears of the end of each leaf that is signed. */
  readonly onIssued?: (expiresAtMs: number) => void;
}

/** An authority that signs with the material at hand; leaves end at the latest when their issuer does. */
export function createAuthority(first: AuthorityMaterial, options: AuthorityOptions): Authority {
  let material = first;
  const signing = (nowMs: number): IssuingMaterial => formerSigner(material.former, nowMs) ?? material;
  const trusted = (): readonly Buffer[] => {
    const nowMs = options.now();
    const former = material.former.filter(({ trustedUntilMs }) => nowMs < trustedUntilMs);
    const roots = [...material.roots, ...(material.next ?? []), ...former.flatMap((one) => one.roots)];
    return roots.filter((root, index) => roots.findIndex((other) => other.equals(root)) === index);
  };
  return {
    revocations: new Revocations(options.now),
    get trustBundle() {
      return trusted();
    },
    get trustBundlePem() {
      return certificatesToPem(trusted());
    },
    get issuerNotAfterMs() {
      return material.issuer.notAfterMs;
    },
    issue(identity, subjectPublicKeyInfo) {
      const nowMs = options.now();
      const { issuer, intermediates } = signing(nowMs);
      if (nowMs >= issuer.notAfterMs) throw new Error('the issuing certificate has expired');
      const leaf = issueLeaf(
        {
          uri: identity.uri,
          subjectPublicKeyInfo,
          nowMs,
          lifetimeMs: options.leafLifetimeMs,
          clockSkewMs: options.clockSkewMs ?? CLOCK_SKEW_MS,
          serial: randomBytes(SERIAL_BYTES),
        },
        issuer,
      );
      const expiresAtMs = wholeSecond(Math.min(nowMs + options.leafLifetimeMs, issuer.notAfterMs));
      options.onIssued?.(expiresAtMs);
      return { chain: [leaf, ...intermediates], expiresAtMs };
    },
    replace(next) {
      material = next;
    },
  };
}
