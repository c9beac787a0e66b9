import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { TrustedDomain } from '#policy/trust/peer-trust.ts';

/** What a sidecar proves itself with, and whom it trusts. Held in memory. */
export interface Credentials {
  readonly identity: SpiffeId;
  /** Leaf first, then intermediates; PEM. */
  readonly certificateChainPem: string;
  /** PKCS#8, PEM. Never logged. */
  readonly privateKeyPem: string;
  /** Roots; PEM. */
  readonly trustBundlePem: string;
  readonly expiresAtMs: number;
  /** Roots of other trust domains, by files; absent: the control plane says whom to believe. */
  readonly federated?: readonly TrustedDomain[];
}

/** Keeps the workload's credentials fresh. */
export interface CredentialSource {
  /** The credentials in force. */
  current(): Credentials;
  /** Calls back at each renewal; returns a function that ends it. */
  onRenewal(listener: (credentials: Credentials) => void): () => void;
  close(): void;
}
