import { generateKeyPairSync } from 'node:crypto';
import { type SpiffeId, spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import type { Authority } from './authority.ts';

/** Service account of the control plane in the root namespace. No workload can get this identity. */
export const CONTROL_PLANE_SERVICE_ACCOUNT = 'control-plane';
/** Shortest wait between renewals, whatever the lifetime. */
const MIN_RENEWAL_WAIT_MS = 1_000;
/** Longest delay of a Node timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export function controlPlaneIdentity(mesh: Mesh): SpiffeId {
  return spiffeId(mesh.trustDomain, mesh.rootNamespace, CONTROL_PLANE_SERVICE_ACCOUNT);
}

export interface ControlPlaneCertificate {
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
  readonly expiresAtMs: number;
}

/** Issues the control plane's own certificate, with a new key each time. */
export function issueControlPlaneCertificate(authority: Authority, mesh: Mesh): ControlPlaneCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { chain, expiresAtMs } = authority.issue(
    controlPlaneIdentity(mesh),
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  return {
    certificateChainPem: certificatesToPem(chain),
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    expiresAtMs,
  };
}

/** Renews at half of the remaining life, again and again; returns the function that ends it. */
export function keepControlPlaneCertificate(
  first: ControlPlaneCertificate,
  renew: () => ControlPlaneCertificate,
  onError: (error: unknown) => void,
): () => void {
  let timer: NodeJS.Timeout;
  const schedule = (expiresAtMs: number): void => {
    const waitMs = Math.min(MAX_TIMER_MS, Math.max(MIN_RENEWAL_WAIT_MS, (expiresAtMs - Date.now()) / 2));
    timer = setTimeout(() => {
      try {
        schedule(renew().expiresAtMs);
      } catch (error) {
        onError(error);
        schedule(expiresAtMs);
      }
    }, waitMs);
    timer.unref();
  };
  schedule(first.expiresAtMs);
  return () => clearTimeout(timer);
}
