import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { issueLeaf, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { readRoot } from '#policy/x509/root.ts';
import { verifyPeer } from '#policy/x509/verify-peer.ts';
import type { IssuingMaterial } from './authority-material.ts';

const PROBE_LIFETIME_MS = 60_000;

/** Never leaves this process. */
const probeKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' });

/**
 * Signs a leaf and judges it as sidecars do. Throws, and names the file at fault, where its issuer cannot sign, or they would not accept
 * what it signs: a weak signature or key, a constraint, a root that has ended.
 */
export function probeIssuer({ issuer, intermediates, roots }: IssuingMaterial, mesh: Mesh, nowMs: number): void {
  const trusted = roots.map((der) => named('root-cert.pem', 'a sidecar cannot trust it', () => readRoot(der)));
  const { uri } = spiffeId(mesh.trustDomain, mesh.rootNamespace, 'probe');
  const content = { uri, subjectPublicKeyInfo: probeKey, nowMs, lifetimeMs: PROBE_LIFETIME_MS, clockSkewMs: 0 };
  const leaf = named('ca-key.pem', 'cannot sign', () =>
    issueLeaf({ ...content, serial: randomBytes(SERIAL_BYTES) }, issuer),
  );
  const trust = { rootsOf: () => trusted, revocationOf: () => undefined };
  for (const use of ['client', 'server'] as const) {
    const verdict = verifyPeer([leaf, ...intermediates], trust, nowMs, use);
    if (verdict.kind === 'accepted') continue;
    throw new Error(`ca-cert.pem: nobody would accept what it signs: ${verdict.code}: ${verdict.reason}`);
  }
}

function named<T>(file: string, complaint: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`${file}: ${complaint}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
