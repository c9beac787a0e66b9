import type { Test } from 'tap';
import type { Snapshot } from '#policy/resource-set.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { meshRoots } from '#sidecar/policy/mesh-roots.ts';
import { type ControlPlaneFixture, MESH, SidecarFixture } from '../control-plane-fixture.ts';

export interface TrustingSidecar {
  /** The roots that the control plane told it for a trust domain; base64 of the DER. */
  rootsOf(trustDomain: string): readonly string[];
}

/** The client side of a sidecar, which takes what it is told; it ends with the test. */
export async function startTrustingSidecar(t: Test, fixture: ControlPlaneFixture): Promise<TrustingSidecar> {
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  let snapshot: Snapshot | undefined;
  await connection.policies.start(async (next) => {
    snapshot = next;
  });
  return {
    rootsOf(trustDomain) {
      const domains = snapshot === undefined ? [] : (meshRoots(snapshot, MESH) ?? []);
      const { rootsPem = '' } = domains.find((one) => one.trustDomain === trustDomain) ?? {};
      return certificatesFromPem(rootsPem).map((der) => der.toString('base64'));
    },
  };
}
