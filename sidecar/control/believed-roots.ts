import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import type { StoredIdentity } from './state-directory.ts';

/**
 * The roots by which a sidecar that starts believes the control plane; PEM. The configured ones, which in a pod are as old as the
 * pod: after a change of the root only what was learnt since holds the new one. What was learnt counts as long as all that
 * was configured then still is: where the operator has taken a root out, whoever holds its key may have had a say in it. Where it was
 * learnt from what the mesh publishes, a root that was configured then and is none of the mesh's any more counts no longer.
 */
export function believedRoots(configuredPem: string, stored: StoredIdentity | undefined): string {
  if (stored?.configuredRootsPem === undefined) return configuredPem;
  try {
    const configured = certificatesFromPem(configuredPem);
    const configuredThen = certificatesFromPem(stored.configuredRootsPem);
    const isStillConfigured = configuredThen.every((root) => configured.some((other) => other.equals(root)));
    if (configuredThen.length === 0 || !isStillConfigured) return configuredPem;
    const { credentials, areRootsOfMesh } = stored;
    if (!areRootsOfMesh) return joinRoots(configuredPem, credentials.trustBundlePem);
    const added = configured.filter((root) => !configuredThen.some((other) => other.equals(root)));
    return joinRoots(certificatesToPem(added), credentials.trustBundlePem);
  } catch {
    return configuredPem;
  }
}

/** PEM of both, whether the first ends its last line or not. */
export function joinRoots(onePem: string, otherPem: string): string {
  return `${onePem.trimEnd()}\n${otherPem}`;
}
