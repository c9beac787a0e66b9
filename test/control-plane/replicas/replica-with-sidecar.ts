import type { Test } from 'tap';
import { type Authority, createAuthority, LEAF_LIFETIME_MS } from '#control-plane/authority/authority.ts';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import { allowPolicy, ControlPlaneFixture, MESH, SidecarFixture } from '../control-plane-fixture.ts';

/** A replica that others ask, with one policy and one sidecar. */
export interface ReplicaWithSidecar {
  readonly fixture: ControlPlaneFixture;
  readonly address: string;
  readonly trustBundlePem: string;
  /** Of the mesh: it issues what those who ask prove themselves with. */
  readonly authority: Authority;
}

export async function replicaWithSidecar(t: Test): Promise<ReplicaWithSidecar> {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('allow-web', 'web'));
  const { address, trustBundlePem } = await fixture.start();
  t.teardown(() => fixture.stop());
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  await connection.policies.start(async () => {});
  const material = await openAuthorityDirectory(`${fixture.directory}/state/ca`, MESH, Date.now());
  const authority = createAuthority(material, { leafLifetimeMs: LEAF_LIFETIME_MS, now: Date.now });
  return { fixture, address, trustBundlePem, authority };
}
