import { execFileSync } from 'node:child_process';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { RunningControlPlane } from '#control-plane/start-control-plane.ts';
import { whyNot } from '../../sidecar/interception/pods.ts';
import { noApiServer } from '../../support/api-server.ts';
import { eventually } from '../control-plane-fixture.ts';
import { MeshOnApiServer } from './mesh-on-api-server.ts';

/** Set in the process that runs in a network namespace of its own: an EndpointSlice takes no loopback addresses. */
const INSIDE = 'LATERAL_TEST_NETWORK_NAMESPACE';
const ADDRESSES = ['10.77.0.1', '10.77.0.2'] as const;
const SERVICE = 'lateral-control-plane';
const POLICY = 'lateral.dev/v1alpha1/authorizationpolicies';
/** A pass of the writer comes within ten seconds at the latest; two cores may be busy. */
const WRITTEN_WITHIN_MS = 40_000;
/** The other replica leads once the Lease is free; it looks every few seconds. */
const LEADS_WITHIN_MS = 60_000;

t.setTimeout(280_000);

if (process.env[INSIDE] !== undefined) {
  t.test('two control planes on one API server', { timeout: 260_000 }, twoReplicas);
} else {
  t.test(
    'in a network namespace of its own',
    { skip: noApiServer ?? whyNot() ?? false, timeout: 270_000 },
    async (t) => {
      const namespace = `lateral-${process.pid}-replicas`;
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

async function twoReplicas(t: Test): Promise<void> {
  const mesh = new MeshOnApiServer(t.testdir());
  t.teardown(() => mesh.stop());
  await mesh.start();
  const first = await mesh.startReplica(ADDRESSES[0]);
  await eventually('the first leads', async () => (await mesh.leader()) !== '', WRITTEN_WITHIN_MS);
  const second = await mesh.startReplica(ADDRESSES[1]);
  // by its hostname a control plane knows which address is its own
  for (const [pod, replica] of [
    [hostname(), first],
    ['another-pod', second],
  ] as const) {
    await mesh.api.create(sliceOf(pod, replica));
  }
  await mesh.api.create({
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'allow', namespace: 'shop' },
    spec: { selector: { matchLabels: { app: 'orders' } }, rules: [{}] },
  });
  const programmed = async () => mesh.conditions(await mesh.status(POLICY, 'allow'))['Programmed'] ?? '';
  const isSaid = (what: string, message: RegExp, withinMs = WRITTEN_WITHIN_MS) =>
    eventually(`${what}, and not ${message}`, async () => message.test(await programmed()), withinMs);

  await t.test('the sidecars of both are counted in one status', async () => {
    for (const [index, replica] of [first, first, second].entries()) {
      await mesh.runPod(`orders-${index}`, `10.244.0.${10 + index}`);
      await mesh.connect(replica, `orders-${index}`);
    }
    await isSaid('all three', /^True Programmed 3 of 3 sidecars have it in force, 0 refused it\.$/);
  });

  await t.test('one that refuses is counted and named, whichever replica it is connected to', async () => {
    await mesh.runPod('orders-3', '10.244.0.13');
    await mesh.connect(second, 'orders-3', () => Promise.reject(new Error('words of its own')));
    await isSaid('the refusal', /^False Refused 3 of 4 sidecars have it in force, 1 refused it\. shop\/orders-3: /);
  });

  await t.test('when the leader ends the other goes on with the status, with the sidecars that it has', async (t) => {
    const leader = await mesh.leader();
    // both have the hostname of this machine: now it is the second's
    for (const replica of [first, second]) await mesh.api.client.request(slicePath(replica), { method: 'DELETE' });
    await mesh.api.create(sliceOf(hostname(), second));
    await first.close();
    await eventually('the other leads', async () => !['', leader].includes(await mesh.leader()), LEADS_WITHIN_MS);
    await isSaid('its own two', /^False Refused 1 of 2 sidecars have it in force, 1 refused it\. shop\/orders-3: /);
    const accepted = mesh.conditions(await mesh.status(POLICY, 'allow'))['Accepted'];
    t.match(accepted, /^True Accepted /);
  });
}

function slicePath(replica: RunningControlPlane): string {
  return `/apis/discovery.k8s.io/v1/namespaces/lateral-system/endpointslices/${sliceName(replica)}`;
}

function sliceName({ address }: RunningControlPlane): string {
  return `${SERVICE}-${address.replace(':', '-')}`;
}

function sliceOf(pod: string, replica: RunningControlPlane): unknown {
  const [host, port] = replica.address.split(':');
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: sliceName(replica),
      namespace: 'lateral-system',
      labels: { 'kubernetes.io/service-name': SERVICE },
    },
    addressType: 'IPv4',
    ports: [{ name: 'grpc', port: Number(port) }],
    endpoints: [
      {
        addresses: [host],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', name: pod, namespace: 'lateral-system' },
      },
    ],
  };
}
