import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { allowPolicy, ControlPlaneFixture, eventually } from '../control-plane-fixture.ts';

const BROKEN =
  'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {actoin: ALLOW}\n';

async function controlPlane(t: Test) {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  t.teardown(() => fixture.stop());
  await fixture.start();
  return fixture;
}

const count = (fixture: ControlPlaneFixture, name: string) =>
  fixture.events.filter(({ event }) => event === name).length;

t.test('a broken file changes nothing, is reported once with its position, and mends', async (t) => {
  const fixture = await controlPlane(t);
  const before = fixture.running?.policyVersion();
  await fixture.writePolicy('b.yaml', BROKEN);
  await fixture.writePolicy('c.yaml', allowPolicy('c', 'web'));
  await eventually('the errors', () => count(fixture, 'policies_refused') >= 1);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  const reports = fixture.problems.filter((line) => line.includes('actoin'));
  t.equal(reports.length, count(fixture, 'policies_refused'));
  t.ok(reports.length <= 2, 'once for each state of the folder');
  t.match(reports[0], /b\.yaml:4:8: error unknown_field /);
  t.equal(fixture.running?.policyVersion(), before, 'c is not in force either');
  t.match(await (await fixture.status('/metrics')).text(), 'lateral_control_plane_last_apply_success 0');
  await rm(join(fixture.policies, 'b.yaml'));
  await eventually('c is in force', () => fixture.running?.policyVersion() !== before);
  t.match(await (await fixture.status('/metrics')).text(), 'lateral_control_plane_last_apply_success 1');
});

t.test('a restart on a broken folder goes on with the last good set', async (t) => {
  const fixture = await controlPlane(t);
  const before = fixture.running?.policyVersion();
  await fixture.stop();
  await fixture.writePolicy('b.yaml', BROKEN);
  await fixture.start();
  t.equal(fixture.running?.policyVersion(), before);
  t.equal(count(fixture, 'last_good_in_force'), 1);
  t.match(fixture.problems.at(-1), 'actoin');
});

t.test('a change that is in force as the control plane ends is on the disk when it has ended', async (t) => {
  const fixture = await controlPlane(t);
  const before = fixture.running?.policyVersion();
  await fixture.writePolicy('b.yaml', allowPolicy('b', 'web'));
  await eventually('b is in force', () => fixture.running?.policyVersion() !== before);
  await fixture.stop();
  const { lastGoodFile } = fixture.configuration.source as { lastGoodFile: string };
  const stored: unknown = JSON.parse(await readFile(lastGoodFile, 'utf8'));
  t.match(stored, { resources: [{ key: 'AuthorizationPolicy/shop/a' }, { key: 'AuthorizationPolicy/shop/b' }] });
});

t.test('a first start on a broken folder fails with the errors', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('b.yaml', BROKEN);
  await t.rejects(fixture.start(), /have errors, and there is no last good set/);
  t.match(fixture.problems[0], /b\.yaml:4:8: error/);
});

t.test('a last good set of another mesh is not used', async (t) => {
  const fixture = await controlPlane(t);
  await fixture.stop();
  await fixture.writePolicy('b.yaml', BROKEN);
  const { configuration } = fixture;
  const other = { ...configuration, mesh: { ...configuration.mesh, rootNamespace: 'other' } };
  Object.defineProperty(fixture, 'configuration', { value: other });
  await t.rejects(fixture.start(), /no last good set/);
});

t.test('a missing folder fails the start; one that vanishes later leaves what was in force', async (t) => {
  const missing = new ControlPlaneFixture(join(t.testdir(), 'missing'));
  await t.rejects(missing.start(), /does not exist; create it/);
  const fixture = new ControlPlaneFixture(t.testdirName);
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start();
  t.teardown(() => fixture.stop());
  const before = fixture.running?.policyVersion();
  await rename(fixture.policies, `${fixture.policies}-away`);
  await eventually('it is noticed', () => count(fixture, 'policies_refused') === 1);
  t.equal(fixture.running?.policyVersion(), before);
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'billing'));
  await eventually('the new folder is in force', () => fixture.running?.policyVersion() !== before);
});

t.test('an empty folder is in force: nothing is allowed', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir({ policies: {} }));
  t.teardown(() => fixture.stop());
  await fixture.start();
  t.match(await (await fixture.status('/metrics')).text(), 'lateral_control_plane_resources 0');
});

t.test('a file saved by renaming, as editors do, is in force in under two seconds', async (t) => {
  const fixture = await controlPlane(t);
  for (const from of ['billing', 'payments', 'web']) {
    const before = fixture.running?.policyVersion();
    const startedAt = performance.now();
    await writeFile(join(fixture.policies, '.a.yaml.swp'), allowPolicy('a', from));
    await rename(join(fixture.policies, '.a.yaml.swp'), join(fixture.policies, 'a.yaml'));
    await eventually('in force', () => fixture.running?.policyVersion() !== before);
    t.ok(performance.now() - startedAt < 2_000);
  }
});

t.test('a folder of symlinks that is switched as a ConfigMap is, is followed', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  const at = (...parts: string[]) => join(fixture.policies, ...parts);
  await mkdir(at('..one'), { recursive: true });
  await writeFile(at('..one', 'a.yaml'), allowPolicy('a', 'web'));
  await symlink('..one', at('..data'));
  await symlink('..data/a.yaml', at('a.yaml'));
  t.teardown(() => fixture.stop());
  await fixture.start();
  const before = fixture.running?.policyVersion();
  t.match(await (await fixture.status('/metrics')).text(), 'lateral_control_plane_resources 1');
  await mkdir(at('..two'));
  await writeFile(at('..two', 'a.yaml'), allowPolicy('a', 'billing'));
  await symlink('..two', at('..data_tmp'));
  await rename(at('..data_tmp'), at('..data'));
  await eventually('in force', () => fixture.running?.policyVersion() !== before, 2_000);
  t.match(await (await fixture.status('/metrics')).text(), 'lateral_control_plane_resources 1');
});

t.test('a folder that is itself a symlink is followed when it points elsewhere', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir({ one: {}, two: {} }));
  const at = (...parts: string[]) => join(fixture.directory, ...parts);
  await writeFile(at('one', 'a.yaml'), allowPolicy('a', 'web'));
  await writeFile(at('two', 'a.yaml'), allowPolicy('a', 'billing'));
  await symlink('one', at('policies'));
  t.teardown(() => fixture.stop());
  await fixture.start();
  const before = fixture.running?.policyVersion();
  await symlink('two', at('policies_tmp'));
  await rename(at('policies_tmp'), at('policies'));
  await eventually('in force', () => fixture.running?.policyVersion() !== before, 2_000);
  t.pass();
});
