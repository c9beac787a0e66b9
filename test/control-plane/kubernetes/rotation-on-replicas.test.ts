import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { authorityPage } from '#cli/operations/authority-source.ts';
import { loopbackPort } from '#cli/operations/dial.ts';
import { RECONNECT_MS } from '#control-plane/authority/trust-judgement.ts';
import type { RunningControlPlane } from '#control-plane/start-control-plane.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import type { ControlPlaneConnection } from '#sidecar/control/connect-control-plane.ts';
import { whyNot } from '../../sidecar/interception/pods.ts';
import { noApiServer } from '../../support/api-server.ts';
import { eventually } from '../control-plane-fixture.ts';
import { MeshOnApiServer } from './mesh-on-api-server.ts';

/** Set in the process that runs in a network namespace of its own: an EndpointSlice takes no loopback addresses. */
const INSIDE = 'LATERAL_TEST_NETWORK_NAMESPACE';
const ADDRESSES = ['10.78.0.1', '10.78.0.2'] as const;
const SERVICE = 'lateral-control-plane';
const STATE = '/api/v1/namespaces/lateral-system/secrets/lateral-former-authorities';
/** Two cores may be busy. */
const WITHIN_MS = 40_000;

t.setTimeout(280_000);

if (process.env[INSIDE] !== undefined) {
  t.test('a root is rotated by two control planes on one API server', { timeout: 260_000 }, twoReplicas);
} else {
  t.test(
    'in a network namespace of its own',
    { skip: noApiServer ?? whyNot() ?? false, timeout: 270_000 },
    async (t) => {
      const namespace = `lateral-${process.pid}-rotation`;
      execFileSync('ip', ['netns', 'add', namespace]);
      t.teardown(() => execFileSync('ip', ['netns', 'del', namespace]));
      const ip = (...args: string[]) => execFileSync('ip', ['-n', namespace, ...args]);
      ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
      for (const link of ['lo', 'eth0', 'eth1']) ip('link', 'set', link, 'up');
      for (const address of ADDRESSES) ip('address', 'add', address, 'dev', 'eth0');
      ip('route', 'add', 'default', 'dev', 'eth0'); // by which an API server finds an address of its own
      const inside = ['netns', 'exec', namespace, process.execPath, fileURLToPath(import.meta.url)];
      await t.spawn('ip', inside, { env: { ...process.env, [INSIDE]: namespace } }, 'inside');
    },
  );
}

const authorityOf = (replica: RunningControlPlane) => authorityPage(loopbackPort(replica.statusPort ?? 0));
const rootsOf = ({ trustBundlePem }: RunningControlPlane) =>
  certificatesFromPem(trustBundlePem).map((der) => new X509Certificate(der).fingerprint256);
const isSignedBy = (connection: ControlPlaneConnection, root: X509Certificate): boolean => {
  const chain = certificatesFromPem(connection.credentials.current()?.certificateChainPem ?? '');
  const issuer = new X509Certificate(chain.at(-1) ?? Buffer.of());
  return issuer.checkIssued(root) && issuer.verify(root.publicKey);
};

async function twoReplicas(t: Test): Promise<void> {
  let aheadMs = 0;
  const options = { statusPort: 0, now: () => Date.now() + aheadMs };
  const mesh = new MeshOnApiServer(t.testdir());
  t.teardown(() => mesh.stop());
  await mesh.start();
  const secret = { kind: 'Secret', metadata: { name: 'lateral-former-authorities', namespace: 'lateral-system' } };
  await mesh.api.create({ apiVersion: 'v1', ...secret, type: 'Opaque' });
  const first = await mesh.startReplica(ADDRESSES[0], options);
  await eventually('the first leads', async () => (await mesh.leader()) !== '', WITHIN_MS);
  const second = await mesh.startReplica(ADDRESSES[1], options);
  // by its hostname a control plane knows which address is its own: the leader asks the other
  await mesh.api.create(sliceOf(hostname(), first));
  await mesh.api.create(sliceOf('another-pod', second));
  for (const index of [0, 1, 2, 3]) await mesh.runPod(`orders-${index}`, `10.244.0.${10 + index}`);
  await mesh.connect(first, 'orders-0');
  let refuses = false;
  const stubborn = await mesh.connect(second, 'orders-1', async () => {
    if (refuses) throw new Error('not now');
  });
  const leaving = await mesh.connect(second, 'orders-2');
  const [oldRoot = new X509Certificate('')] = certificatesFromPem(first.trustBundlePem).map(
    (der) => new X509Certificate(der),
  );
  t.ok(isSignedBy(stubborn, oldRoot));
  aheadMs = RECONNECT_MS;

  await t.test('it is begun at the replica that does not lead, and waits for sidecars of both', async (t) => {
    refuses = true;
    const begun = await authorityOf(second).change({ kind: 'rotate' });
    t.equal(begun.stage, 'trusting');
    await eventually(
      'both replicas trust both roots',
      () => [first, second].every((one) => rootsOf(one).length === 2),
      5_000,
    );
    t.strictSame(rootsOf(first), rootsOf(second), 'the same');
    await t.rejects(authorityOf(first).change({ kind: 'rotate' }), /under way/, 'the other knows of it');
    const waitsFor = async () => (await authorityOf(first).facts()).waitsFor;
    await eventually('two trust it', async () => (await waitsFor())?.trusting === 2, WITHIN_MS);
    t.match(await waitsFor(), { pending: ['shop/orders-1'], pendingCount: 1, silentReplicas: [] });
  });

  await t.test('who goes away without it is waited for, unless its Pod is gone', async () => {
    refuses = true;
    await stubborn.close();
    const absent = async () => (await authorityOf(first).facts()).waitsFor?.absent.map(({ name }) => name).join();
    await eventually('it is away', async () => (await absent()) === 'shop/orders-1', WITHIN_MS);
    await leaving.close();
    await new Promise((resolve) => setTimeout(resolve, 3_000)); // several looks of the leader
    t.equal((await authorityOf(first).facts()).stage, 'trusting');
    t.equal(await absent(), 'shop/orders-1', 'one that had acknowledged it is not waited for');
    await mesh.api.client.request('/api/v1/namespaces/shop/pods/orders-1?gracePeriodSeconds=0', { method: 'DELETE' });
    await eventually(
      'the new root signs',
      async () => (await authorityOf(first).facts()).stage === 'signing',
      WITHIN_MS,
    );
  });

  await t.test('both replicas sign under the new root, and trust the old one', async (t) => {
    await eventually(
      'both know the new root as their own',
      async () =>
        (await Promise.all([first, second].map((one) => authorityOf(one).facts()))).every(
          ({ stage, roots }) => stage === 'signing' && roots.map(({ role }) => role).join() === 'own,former',
        ),
      WITHIN_MS,
    );
    const [newRoot = oldRoot] = certificatesFromPem(second.trustBundlePem).map((der) => new X509Certificate(der));
    t.not(newRoot.fingerprint256, oldRoot.fingerprint256);
    t.ok(isSignedBy(await mesh.connect(second, 'orders-3'), newRoot));
    t.strictSame(rootsOf(first), rootsOf(second));
    t.equal(mesh.events.filter(({ event }) => event === 'root_signing').length, 1, 'one of them did it');
    t.equal(mesh.events.filter(({ event }) => event === 'former_authority_kept').length, 0);
    const state = await mesh.api.client.request(STATE);
    const texts = isRecord(state) && isRecord(state.data) ? Object.values(state.data).map(String) : [];
    t.notMatch(texts.map((text) => Buffer.from(text, 'base64').toString()).join(), /PRIVATE KEY/);
  });

  await t.test('what is revoked at one replica is so at the other in the same second', async (t) => {
    const list = () => authorityOf(second).facts();
    await authorityOf(first).change({
      kind: 'revoke',
      subject: { kind: 'serial', serial: 'abcd' },
      untilMs: undefined,
    });
    await eventually('the other knows', async () => (await list()).revocations.serials.length === 1, 1_000);
    const since = mesh.events.length;
    await authorityOf(first).change({
      kind: 'revoke',
      subject: { kind: 'identity', identity: 'shop/orders' },
      untilMs: undefined,
    });
    const ended = () => mesh.events.slice(since).filter(({ event }) => event === 'connection_ended');
    await eventually('connections of both end', () => ended().length >= 2, 1_000);
    t.match(ended()[0]?.fields, { reason: /ns\/shop\/sa\/orders is revoked/ });
  });

  await t.test('the old root is retired by itself', async (t) => {
    aheadMs += 3 * 24 * 3_600_000;
    await eventually(
      'it is gone from both',
      () => [first, second].every((one) => rootsOf(one).length === 1),
      WITHIN_MS,
    );
    await eventually(
      'and the change is over',
      async () => (await authorityOf(second).facts()).stage === 'none',
      WITHIN_MS,
    );
    t.equal(mesh.events.filter(({ event }) => event === 'root_retired').length, 1);
  });
}

function sliceOf(pod: string, replica: RunningControlPlane): unknown {
  const [host = '', port] = replica.address.split(':');
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${SERVICE}-${replica.address.replace(':', '-')}`,
      namespace: 'lateral-system',
      labels: { 'kubernetes.io/service-name': SERVICE },
    },
    addressType: 'IPv4',
    ports: [{ name: 'grpc', port: Number(port), protocol: 'TCP' }],
    endpoints: [
      {
        addresses: [host],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', namespace: 'lateral-system', name: pod },
      },
    ],
  };
}
