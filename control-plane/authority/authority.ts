import { randomBytes, X509Certificate } from 'node:crypto';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { issueLeaf, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import type { AuthorityMaterial, IssuingMaterial } from './authority-material.ts';
import { formerSigner } from './former-authority.ts';

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
  /** The roots to trust, those of former authorities among them while leaves of theirs are about; DER. */
  readonly trustBundle: readonly Buffer[];
  readonly trustBundlePem: string;
  readonly issuerNotAfterMs: number;
  issue(identity: SpiffeId, subjectPublicKeyInfo: Buffer): IssuedCertificate;
  /** Signs with other keys and certificates from now on. */
  replace(material: AuthorityMaterial): void;
}

export interface AuthorityOptions {
  readonly leafLifetimeMs: number;
  readonly now: () => number;
}

/** An authority that signs with the material at hand; leaves end at the latest when their issuer does. */
export function createAuthority(first: AuthorityMaterial, options: AuthorityOptions): Authority {
  let material = first;
  const signing = (nowMs: number): IssuingMaterial => formerSigner(material.former, nowMs) ?? material;
  const trusted = (): readonly Buffer[] => {
    const nowMs = options.now();
    const former = material.former.filter(({ trustedUntilMs }) => nowMs < trustedUntilMs);
    const roots = [material, ...former].flatMap((one) => one.roots);
    return roots.filter((root, index) => roots.findIndex((other) => other.equals(root)) === index);
  };
  return {
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
          serial: randomBytes(SERIAL_BYTES),
        },
        issuer,
      );
      const expiresAtMs = new X509Certificate(leaf).validToDate.getTime();
      return { chain: [leaf, ...intermediates], expiresAtMs };
    },
    replace(next) {
      material = next;
    },
  };
}
