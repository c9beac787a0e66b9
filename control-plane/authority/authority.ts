import { randomBytes, X509Certificate } from 'node:crypto';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { issueLeaf, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import type { AuthorityMaterial } from './authority-material.ts';

/** How long a workload's certificate is valid. */
export const LEAF_LIFETIME_MS = 24 * 3_600_000;

/** A certificate that was just issued. */
export interface IssuedCertificate {
  /** Leaf first, then intermediates; DER. */
  readonly chain: readonly Buffer[];
  readonly expiresAtMs: number;
}

/** Signs certificates of the mesh. Who may have which is decided before (`proveCaller`). */
export interface Authority {
  /** The roots to trust; DER. */
  readonly trustBundle: readonly Buffer[];
  readonly trustBundlePem: string;
  readonly issuerNotAfterMs: number;
  issue(identity: SpiffeId, subjectPublicKeyInfo: Buffer): IssuedCertificate;
}

export interface AuthorityOptions {
  readonly leafLifetimeMs: number;
  readonly now: () => number;
}

/** An authority that signs with the material at hand; leaves end at the latest when their issuer does. */
export function createAuthority(material: AuthorityMaterial, options: AuthorityOptions): Authority {
  return {
    trustBundle: material.roots,
    trustBundlePem: certificatesToPem(material.roots),
    issuerNotAfterMs: material.issuer.notAfterMs,
    issue(identity, subjectPublicKeyInfo) {
      const nowMs = options.now();
      if (nowMs >= material.issuer.notAfterMs) throw new Error('the issuing certificate has expired');
      const leaf = issueLeaf(
        {
          uri: identity.uri,
          subjectPublicKeyInfo,
          nowMs,
          lifetimeMs: options.leafLifetimeMs,
          serial: randomBytes(SERIAL_BYTES),
        },
        material.issuer,
      );
      const expiresAtMs = new X509Certificate(leaf).validToDate.getTime();
      return { chain: [leaf, ...material.intermediates], expiresAtMs };
    },
  };
}
