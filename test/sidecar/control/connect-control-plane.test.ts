import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Snapshot } from '#policy/resource-set.ts';
import { SnapshotRefused } from '#sidecar/policy/policy-source.ts';
import { allowPolicy, ControlPlaneFixture, eventually, SidecarFixture } from '../../control-plane/control-plane-fixture.ts';

async function controlPlane(t: Test, policies = { 'a.yaml': allowPolicy('a', 'web') }) {
  const fixture = new ControlPlaneFixture(t.testdir());
  for (const [file, text] of Object.entries(policies)) await fixture.writePolicy(file, text);
  await fixture.start();
  t.teardown(() => fixture.stop());
  return fixture;
}

/** Takes snapshots as a sidecar does; refuses while `complaint` is set. */
function taker() {
  const applied: Snapshot[] = [];
  const state = { complaint: undefined as string | undefined };
  const apply = async (snapshot: Snapshot) => {
    if (state.complaint !== undefined) throw new SnapshotRefused([state.complaint]);
    applied.push(snapshot);
  };
  return { applied, state, apply };
}

const keysOf = (snapshot: Snapshot | undefined) => snapshot?.resources.map(({ key }) => key) ?? [];

t.test('a join token gets a certificate, and the certificate the policies', async (t) => {
  const fixture = await controlPlane(t);
  const sidecar = new SidecarFixture(fixture);
  const connection = await sidecar.connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  const credentials = connection.credentials.current();
  t.equal(credentials.identity.uri, 'spiffe://cluster.local/ns/shop/sa/orders');
  t.match(new X509Certificate(credentials.certificateChainPem).subjectAltName, credentials.identity.uri);
  const { applied, apply } = taker();
  await connection.policies.start(apply);
  t.strictSame(keysOf(applied[0]), ['AuthorizationPolicy/shop/a']);
});

t.test('a change is a delta on what is in force, and arrives in under two seconds', async (t) => {
  const fixture = await controlPlane(t);
  const sidecar = new SidecarFixture(fixture);
  const connection = await sidecar.connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  const { applied, apply } = taker();
  await connection.policies.start(apply);
  const startedAt = performance.now();
  await fixture.writePolicy('b.yaml', allowPolicy('b', 'payments'));
  await eventually('two policies', () => applied.length === 2);
  t.ok(performance.now() - startedAt < 2_000);
  t.strictSame(keysOf(applied[1]), ['AuthorizationPolicy/shop/a', 'AuthorizationPolicy/shop/b']);
});
