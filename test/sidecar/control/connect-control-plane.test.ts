import { X509Certificate } from 'node:crypto';
import { chmod, copyFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { createAuthority } from '#control-plane/authority/authority.ts';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import { issueControlPlaneCertificate } from '#control-plane/authority/control-plane-certificate.ts';
import type { Snapshot } from '#policy/resource-set.ts';
import { AuthorityService } from '#proto/gen/lateral/v1/authority.ts';
import { DiscoveryService } from '#proto/gen/lateral/v1/discovery.ts';
import { MAX_BUFFERED_DECISIONS } from '#sidecar/control/decision-tally.ts';
import { SnapshotRefused } from '#sidecar/policy/policy-source.ts';
import {
  allowPolicy,
  ControlPlaneFixture,
  eventually,
  MESH,
  SidecarFixture,
} from '../../control-plane/control-plane-fixture.ts';

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

/** Of policies: what the control plane makes itself travels with them. */
const keysOf = (snapshot: Snapshot | undefined) =>
  (snapshot?.resources ?? []).map(({ key }) => key).filter((key) => key.startsWith('AuthorizationPolicy/'));

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

t.test('a join token is good for one use, and the log says so', async (t) => {
  const fixture = await controlPlane(t);
  const tokenFile = await fixture.token();
  const first = await new SidecarFixture(fixture).connect({ tokenFile });
  t.teardown(() => first.close());
  const second = new SidecarFixture(fixture);
  t.match(await refusalOf(t, second, { tokenFile }), 'was used already');
});

t.test('a reusable join token is good for many uses', async (t) => {
  const fixture = await controlPlane(t);
  const tokenFile = await fixture.token({ isReusable: true });
  for (const _ of [1, 2, 3]) {
    const connection = await new SidecarFixture(fixture).connect({ tokenFile });
    t.equal(connection.credentials.current().identity.serviceAccount, 'orders');
    await connection.close();
  }
});

t.test('an expired join token is refused', async (t) => {
  const fixture = await controlPlane(t);
  const tokenFile = await fixture.token({ ttlMs: 1_000 });
  await new Promise((resolve) => setTimeout(resolve, 1_050));
  t.match(await refusalOf(t, new SidecarFixture(fixture), { tokenFile }), 'expired at');
});

t.test('a join token of another identity is refused, and stays good for its own', async (t) => {
  const fixture = await controlPlane(t);
  const tokenFile = await fixture.token({ serviceAccount: 'payments' });
  const reason = await refusalOf(t, new SidecarFixture(fixture), { tokenFile });
  t.match(reason, 'the token is for spiffe://cluster.local/ns/shop/sa/payments');
  const payments = { name: 'payments-1', namespace: 'shop', serviceAccount: 'payments', labels: {} };
  const connection = await new SidecarFixture(fixture).connect({ tokenFile, workload: payments });
  t.teardown(() => connection.close());
  t.equal(connection.credentials.current().identity.serviceAccount, 'payments');
});

t.test('without a token the log says what to do, and a token that appears later is taken', async (t) => {
  const fixture = await controlPlane(t);
  const sidecar = new SidecarFixture(fixture);
  const tokenFile = join(fixture.directory, 'later');
  const connecting = sidecar.connect({ tokenFile });
  await eventually('the log says it', () => sidecar.events.some(({ event }) => event === 'waiting_for_certificate'));
  t.match(sidecar.events.find(({ event }) => event === 'waiting_for_certificate')?.fields.reason, 'lateral token');
  await copyFile(await fixture.token(), tokenFile);
  const connection = await connecting;
  t.teardown(() => connection.close());
  t.ok(connection.credentials.current());
});

t.test('a control plane of a foreign authority gets no token', async (t) => {
  const fixture = await controlPlane(t);
  const foreign = new ControlPlaneFixture(join(fixture.directory, 'foreign'));
  await foreign.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await foreign.start();
  t.teardown(() => foreign.stop());
  const tokenFile = await foreign.token();
  const reason = await refusalOf(t, new SidecarFixture(foreign), {
    tokenFile,
    trustBundlePem: fixture.running?.trustBundlePem ?? '',
  });
  t.match(reason, 'not of the roots in the trust bundle');
  t.notOk(foreign.events.some(({ event }) => event.startsWith('certificate') || event.startsWith('signing')));
});

t.test("a workload's certificate cannot pose as the control plane", async (t) => {
  const fixture = await controlPlane(t);
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  const { certificateChainPem, privateKeyPem } = connection.credentials.current();
  const impostor = new Server();
  const asked: string[] = [];
  const answer = () => asked.push('sign');
  impostor.addService(AuthorityService, { sign: answer });
  const credentials = ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(privateKeyPem), cert_chain: Buffer.from(certificateChainPem) },
  ]);
  const port = await promisify(impostor.bindAsync.bind(impostor))('127.0.0.1:0', credentials);
  t.teardown(() => impostor.forceShutdown());
  const reason = await refusalOf(t, new SidecarFixture(fixture), {
    tokenFile: await fixture.token(),
    address: `127.0.0.1:${port}`,
  });
  t.match(
    reason,
    'the server is not the control plane: identity_mismatch: it proved spiffe://cluster.local/ns/shop/sa/orders',
  );
  t.strictSame(asked, []);
});

t.test('a refused update leaves what was in force, and the next change is tried again', async (t) => {
  const fixture = await controlPlane(t);
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  const { applied, state, apply } = taker();
  await connection.policies.start(apply);
  state.complaint = 'b is not to my taste';
  await fixture.writePolicy('b.yaml', allowPolicy('b', 'payments'));
  await eventually('the refusal is shown', async () => (await proxies(fixture))[0]?.state === 'refused');
  const [shown] = await proxies(fixture);
  t.strictSame(shown?.refused?.reasons, ['b is not to my taste']);
  t.equal(shown?.inForceVersion, applied[0]?.version);
  t.match(await (await fixture.status('/metrics')).text(), 'lateral_control_plane_sidecars{state="refused"} 1');
  state.complaint = undefined;
  await fixture.writePolicy('c.yaml', allowPolicy('c', 'billing'));
  await eventually('the change is in force', () => applied.length === 2);
  t.equal(keysOf(applied[1]).length, 3);
  await eventually('all is well', async () => (await proxies(fixture))[0]?.state === 'current');
});

t.test('after a restart of the control plane the sidecar resumes from what it has', async (t) => {
  const fixture = await controlPlane(t);
  const sidecar = new SidecarFixture(fixture);
  const connection = await sidecar.connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  const { applied, apply } = taker();
  await connection.policies.start(apply);
  const connects = () => sidecar.events.filter(({ event }) => event === 'control_plane_connected').length;
  await fixture.stop();
  await fixture.start();
  await eventually('connected again', () => connects() === 2);
  await eventually('current', async () => (await proxies(fixture))[0]?.state === 'current');
  t.equal(applied.length, 1, 'nothing is applied anew');
  await fixture.stop();
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'billing'));
  await fixture.writePolicy('b.yaml', allowPolicy('b', 'payments'));
  await fixture.start();
  await eventually('the change is in force', () => applied.length === 2);
  t.strictSame(keysOf(applied[1]), ['AuthorizationPolicy/shop/a', 'AuthorizationPolicy/shop/b']);
  t.match(applied[1]?.resources[0]?.document, 'billing');
});

t.test('with a state directory a sidecar starts without token and control plane', async (t) => {
  const fixture = await controlPlane(t);
  const stateDirectory = join(fixture.directory, 'state-orders');
  const trustBundlePem = fixture.running?.trustBundlePem ?? '';
  const first = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token(), stateDirectory });
  const before = taker();
  await first.policies.start(before.apply);
  await first.close();
  for (const file of await readdir(stateDirectory)) {
    t.equal((await stat(join(stateDirectory, file))).mode & 0o777, 0o600, file);
  }
  await fixture.stop();

  const startedAt = performance.now();
  const second = await new SidecarFixture(fixture).connect({ stateDirectory, trustBundlePem });
  t.teardown(() => second.close());
  const after = taker();
  await second.policies.start(after.apply);
  t.ok(performance.now() - startedAt < 1_000, 'at once');
  t.equal(after.applied[0]?.version, before.applied[0]?.version);
  t.equal(second.credentials.current().certificateChainPem, first.credentials.current().certificateChainPem);

  await fixture.writePolicy('a.yaml', allowPolicy('a', 'billing'));
  await fixture.start();
  await eventually('the control plane is back', () => after.applied.length === 2);
  t.match(after.applied[1]?.resources[0]?.document, 'billing');
});

t.test('with a state directory and a control plane, the start waits for its word', async (t) => {
  const fixture = await controlPlane(t);
  const stateDirectory = join(fixture.directory, 'state-orders');
  const first = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token(), stateDirectory });
  await first.policies.start(taker().apply);
  await first.close();
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'billing'));
  await eventually(
    'the change is there',
    () => fixture.events.filter((e) => e.event === 'policies_in_force').length === 2,
  );
  const second = await new SidecarFixture(fixture).connect({ stateDirectory });
  t.teardown(() => second.close());
  const { applied, apply } = taker();
  await second.policies.start(apply);
  t.match(applied.at(-1)?.resources[0]?.document, 'billing');
});

t.test('stored state of another identity, or readable by others is not used', async (t) => {
  const fixture = await controlPlane(t);
  const stateDirectory = join(fixture.directory, 'state-orders');
  const tokenFile = await fixture.token({ isReusable: true });
  const first = await new SidecarFixture(fixture).connect({ tokenFile, stateDirectory });
  await first.policies.start(taker().apply);
  await first.close();
  const notUsed = async (options: Parameters<SidecarFixture['connect']>[0]) => {
    const sidecar = new SidecarFixture(fixture);
    await refusalOf(t, sidecar, { stateDirectory, ...options });
    return sidecar.events.find(({ event }) => event === 'stored_identity_not_used')?.fields.reason;
  };
  const payments = { name: 'p', namespace: 'shop', serviceAccount: 'payments', labels: {} };
  t.match(await notUsed({ workload: payments }), 'of another identity');
  await chmod(join(stateDirectory, 'identity.json'), 0o644);
  t.match(await notUsed({}), 'lets others read it');
});

t.test('the certificate is renewed at half of its life, with a new key, and the stream goes on with it', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start({ leafLifetimeMs: 5_000, heartbeatIntervalMs: 700 });
  t.teardown(() => fixture.stop());
  const sidecar = new SidecarFixture(fixture);
  const stateDirectory = join(fixture.directory, 'state-orders');
  const connection = await sidecar.connect({
    tokenFile: await fixture.token(),
    stateDirectory,
    heartbeatIntervalMs: 700,
  });
  t.teardown(() => connection.close());
  const { applied, apply } = taker();
  await connection.policies.start(apply);
  const first = connection.credentials.current();
  const renewed = new Promise<void>((resolve) => connection.credentials.onRenewal(() => resolve()));
  await renewed;
  const second = connection.credentials.current();
  t.not(second.privateKeyPem, first.privateKeyPem);
  t.ok(second.expiresAtMs > first.expiresAtMs);
  // Past the end of the first certificate the stream lives on, and so do the policies.
  await new Promise((resolve) => setTimeout(resolve, first.expiresAtMs - Date.now() + 500));
  await fixture.writePolicy('b.yaml', allowPolicy('b', 'payments'));
  await eventually('the change is in force', () => applied.length === 2);
  t.notOk(
    sidecar.events.some(({ event }) => event === 'control_plane_lost'),
    'renewal is no loss',
  );
  t.match(fixture.events.filter(({ event }) => event === 'certificate_signed').at(-1)?.fields, { by: 'certificate' });
});

t.test('a sidecar whose place another has says so, keeps what it has, and comes back ever more slowly', async (t) => {
  const fixture = await controlPlane(t);
  const stateDirectory = join(fixture.directory, 'state-orders');
  const trustBundlePem = fixture.running?.trustBundlePem ?? '';
  const first = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token(), stateDirectory });
  await first.policies.start(taker().apply);
  await first.close();
  const address = await taken(t, fixture);
  const sidecar = new SidecarFixture(fixture);
  const connection = await sidecar.connect({ stateDirectory, trustBundlePem, address });
  t.teardown(() => connection.close());
  const { applied, apply } = taker();
  await connection.policies.start(apply);
  const told = () => sidecar.events.filter(({ event }) => event === 'workload_name_taken');
  await eventually('it came again', () => told().length >= 3, 20_000);
  t.match(told()[0]?.fields, { reason: /a newer stream has its place/ });
  t.ok(told().every(({ fields }) => Number(fields['retryInMs']) >= 250));
  t.equal(applied.length, 1, 'what it has stays in force');
});

/** A control plane of the mesh that ends each stream since another has its place; its address. */
async function taken(t: Test, fixture: ControlPlaneFixture): Promise<string> {
  const { authority: kept } = fixture.configuration;
  if (kept.kind !== 'directory') throw new Error('no directory');
  const material = await openAuthorityDirectory(kept.directory, MESH, Date.now());
  const authority = createAuthority(material, { leafLifetimeMs: 60_000, now: Date.now });
  const { certificateChainPem, privateKeyPem } = issueControlPlaneCertificate(authority, MESH);
  const server = new Server();
  server.addService(DiscoveryService, {
    subscribe: (call: { emit(event: 'error', error: unknown): void }) =>
      call.emit('error', { code: status.ALREADY_EXISTS, details: 'a newer stream has its place' }),
  });
  const credentials = ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(privateKeyPem), cert_chain: Buffer.from(certificateChainPem) },
  ]);
  const port = await promisify(server.bindAsync.bind(server))('127.0.0.1:0', credentials);
  t.teardown(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

t.test('decisions and counts reach the control plane', async (t) => {
  const fixture = await controlPlane(t);
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  await connection.policies.start(taker().apply);
  const count = { direction: 'inbound', peer: 'web', decision: 'deny', code: 'x' };
  connection.observer.absorb({
    decisions: [DECISION],
    counts: [{ ...count, requests: 1 }],
    droppedDecisions: 0,
    rules: [],
  });
  connection.observer.absorb({ decisions: [], counts: [{ ...count, requests: 2 }], droppedDecisions: 0, rules: [] });
  await eventually('reported', async () => (await (await fixture.status('/decisions')).text()).includes('0123456789'));
  const shown = await (await fixture.status('/decisions')).json();
  t.match(shown, {
    decisions: [
      { decisionId: '0123456789', reporter: 'spiffe://cluster.local/ns/shop/sa/orders', sidecar: 'orders-1' },
    ],
    counts: [{ peer: 'web', requests: 3 }],
    droppedDecisions: 0,
  });
});

t.test('decisions beyond the buffer are dropped and counted', async (t) => {
  const fixture = await controlPlane(t);
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  const decisions = Array.from({ length: MAX_BUFFERED_DECISIONS + 3 }, () => DECISION);
  connection.observer.absorb({ decisions, counts: [], droppedDecisions: 4, rules: [] });
  await connection.policies.start(taker().apply);
  await eventually('reported', async () =>
    (await (await fixture.status('/metrics')).text()).includes('dropped_decisions_total 7\n'),
  );
  t.pass();
});

t.test('a sidecar that waits for its first certificate can be ended', async (t) => {
  const fixture = await controlPlane(t);
  const abort = new AbortController();
  const connecting = new SidecarFixture(fixture).connect({ signal: abort.signal });
  abort.abort();
  await t.rejects(connecting);
});

const DECISION = {
  decisionId: '0123456789',
  timeMs: 1,
  direction: 'inbound',
  decision: 'deny',
  code: 'not_authorized',
  method: 'GET',
  host: 'orders',
  path: '/',
  status: 403,
  source: 'spiffe://cluster.local/ns/shop/sa/web',
  destination: 'orders',
  policy: '',
  rule: -1,
  reason: 'no policy allows it',
  traceId: '',
  sourceIp: '',
};

/** Why a sidecar that will never get its certificate is told no; the attempt is then ended. */
async function refusalOf(t: Test, sidecar: SidecarFixture, options: Parameters<SidecarFixture['connect']>[0]) {
  const abort = new AbortController();
  const connecting = sidecar.connect({ ...options, signal: abort.signal });
  const rejection = t.rejects(connecting);
  await eventually('a reason', () => sidecar.events.some(({ event }) => event === 'waiting_for_certificate'));
  abort.abort();
  await rejection;
  return sidecar.events.find(({ event }) => event === 'waiting_for_certificate')?.fields.reason;
}

interface ShownProxy {
  readonly state: string;
  readonly inForceVersion: string;
  readonly refused: { readonly reasons: readonly string[] } | null;
}

async function proxies(fixture: ControlPlaneFixture): Promise<readonly ShownProxy[]> {
  const shown = await (await fixture.status('/proxies')).json();
  return (shown as { readonly proxies: readonly ShownProxy[] }).proxies; // what the tests look at is what they check
}
