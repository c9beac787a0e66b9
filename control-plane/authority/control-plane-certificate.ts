import { generateKeyPairSync } from 'node:crypto';
import { type SpiffeId, spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import type { Authority } from './authority.ts';

/** Service account of the control plane in the root namespace. No workload can get this identity. */
export const CONTROL_PLANE_SERVICE_ACCOUNT = 'control-plane';
/** How often the clock is looked at: it may be set, and a machine may sleep. Also the shortest wait between renewals. */
const CLOCK_CHECK_INTERVAL_MS = 1_000;

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

/** Renews at half of the remaining life, by the wall clock, again and again; returns the function that ends it. */
export function keepControlPlaneCertificate(
  first: ControlPlaneCertificate,
  renew: () => ControlPlaneCertificate,
  onError: (error: unknown) => void,
  now: () => number = Date.now,
): () => void {
  const halfOf = (expiresAtMs: number) => now() + (expiresAtMs - now()) / 2;
  let expiresAtMs = first.expiresAtMs;
  let dueAtMs = halfOf(expiresAtMs);
  const timer = setInterval(() => {
    if (now() < dueAtMs) return;
    try {
      expiresAtMs = renew().expiresAtMs;
    } catch (error) {
      onError(error);
    }
    dueAtMs = halfOf(expiresAtMs);
  }, CLOCK_CHECK_INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
