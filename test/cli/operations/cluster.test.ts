import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { eventually } from '../../control-plane/control-plane-fixture.ts';
import { runLateral, startLateral } from '../../support/run-lateral.ts';
import { type FakeCluster, startFakeApi } from './fake-kubernetes-api.ts';
import { startSmallMesh } from './small-mesh.ts';

const SYSTEM = '/api/v1/namespaces/lateral-system';
const SERVICE = {
  [`${SYSTEM}/services/lateral-control-plane`]: { spec: { selector: { app: 'lateral-control-plane' } } },
};

function controlPlanePod(name: string, isReady = true, deletionTimestamp?: string) {
  return {
    metadata: { namespace: 'lateral-system', name, labels: { app: 'lateral-control-plane' }, deletionTimestamp },
    spec: { containers: [{ name: 'control-plane' }] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }] },
  };
}

function shopPod(name: string, owner: string, hasSidecar = true) {
  return {
    metadata: { namespace: 'shop', name, labels: {}, ownerReferences: [{ kind: 'ReplicaSet', name: owner }] },
    spec: { containers: [{ name: 'app' }], initContainers: hasSidecar ? [{ name: 'lateral-sidecar' }] : [] },
    status: { phase: 'Running', conditions: [] },
  };
}

async function kubeconfigOf(t: Test, cluster: FakeCluster) {
  const api = await startFakeApi(t, cluster);
  const kubeconfig = join(t.testdir(), 'kubeconfig');
  await writeFile(kubeconfig, api.kubeconfig);
  return { api, kubeconfig };
}

t.test('a cluster is asked with the kubeconfig', async (t) => {
  const mesh = await startSmallMesh(t);
  const { api, kubeconfig } = await kubeconfigOf(t, {
    objects: SERVICE,
    lists: {
      [`${SYSTEM}/pods`]: [
        controlPlanePod('cp-0'),
        controlPlanePod('cp-1'),
        controlPlanePod('cp-2', false),
        controlPlanePod('cp-3', true, '2026-11-23T00:00:00Z'), // its process may be gone already
        shopPod('another', 'x'),
      ],
      '/api/v1/namespaces/shop/pods': [
        shopPod('orders-7d9f-abcde', 'orders-7d9f'),
        shopPod('web-5c6b-fghij', 'web-5c6b'),
        shopPod('plain-1-klmno', 'plain-1', false),
      ],
      '/api/v1/namespaces/empty/pods': [],
    },
    // cp-1 does not answer: the mesh goes on with the other
    ports: {
      'lateral-system/cp-0:15080': mesh.statusPort,
      'shop/orders-7d9f-abcde:15000': mesh.admin.orders,
      'shop/web-5c6b-fghij:15000': mesh.admin.web,
    },
  });
  const environment = { KUBECONFIG: kubeconfig };

  await t.test('proxies asks every ready replica, and says who did not answer', async (t) => {
    const { code, stdout, stderr } = await runLateral(t, ['proxies', 'shop'], environment);
    t.equal(code, 0, stderr);
    t.match(stdout, /^orders-1 +shop +shop\/orders +current /m);
    t.match(
      stderr,
      /warning: not asked: cp-1: the port-forward to lateral-system\/cp-1:15080 ended: error forwarding port 15080/,
    );
    t.notMatch(api.asked.join(' '), /cp-[23]/);
  });

  await t.test('explain', async (t) => {
    const { decisionId } = await mesh.call('/private');
    const isKept = async () => (await (await mesh.fixture.status('/decisions')).text()).includes(decisionId);
    await eventually('it was reported', isKept);
    const { code, stdout } = await runLateral(t, ['explain', decisionId, '--kubeconfig', kubeconfig]);
    t.equal(code, 0);
    t.match(stdout, /^policy +shop\/private, rule 0/m);
  });

  await t.test('tap looks on at the sidecars of a namespace, or of a workload', async (t) => {
    const all = startLateral(t, ['tap', 'shop', '--limit', '2'], environment);
    const one = startLateral(t, ['tap', 'shop/orders', '--limit', '1'], environment);
    await eventually('they look on', () => all.printed.stderr.includes('looking on at 2 sidecars'), 20_000);
    await eventually('they look on', () => one.printed.stderr.includes('looking on at 1 sidecar'), 20_000);
    await mesh.call('/orders/1');
    const [ofAll, ofOne] = await Promise.all([all.ended, one.ended]);
    t.same([ofAll.code, ofOne.code], [0, 0]);
    t.match(ofAll.stdout, /^\S+ orders-7d9f-abcde in allow 200 GET orders\.shop\/orders\/1 from shop\/web/m);
    t.match(ofAll.stdout, /^\S+ web-5c6b-fghij out allow 200 GET orders\.shop\/orders\/1/m);
    t.match(ofOne.stdout, /^\S+ in allow 200 GET/);
  });

  await t.test('a port-forward that dies ends the tap with its reason', async (t) => {
    const tap = startLateral(t, ['tap', 'shop/orders'], environment);
    await eventually('it looks on', () => tap.printed.stderr.includes('looking on'), 20_000);
    api.breakForwards();
    const { code, stderr } = await tap.ended;
    t.equal(code, 1);
    t.match(stderr, /lateral tap: orders-7d9f-abcde: the tap broke off: .*port-forward\), is gone; start it again/);
  });

  await t.test('where there is nothing to ask, it says what to do', async (t) => {
    const cases: [readonly string[], RegExp][] = [
      [
        ['tap', 'shop/payments'],
        /no running pod with a sidecar is shop\/payments; there are orders-7d9f-abcde, web-5c6b-fghij/,
      ],
      [['tap', 'shop/plain'], /no running pod with a sidecar is shop\/plain/],
      [
        ['tap', 'empty'],
        /no running pod of namespace empty has a sidecar; label the namespace lateral\.dev\/inject=enabled/,
      ],
      [
        ['proxies', '-n', 'other'],
        /no control plane in namespace other of http:\/\/127\.0\.0\.1:\d+ .*name its namespace with -n/,
      ],
      [['proxies', '--context', 'gone'], /--context gone is not in .*kubeconfig; it has test, empty/],
      [['proxies', '--context', 'empty'], /has no current context with a cluster/],
    ];
    await Promise.all(
      cases.map(async ([args, message]) => {
        const { code, stdout, stderr } = await runLateral(t, args, environment);
        t.ok(code === 1 || code === 2);
        t.equal(stdout, '');
        t.match(stderr, message);
      }),
    );
  });
});

t.test('missing rights are said with what allows it', async (t) => {
  const lists = { [`${SYSTEM}/pods`]: [controlPlanePod('cp-0')] };
  for (const [forbidden, message] of [
    [
      `${SYSTEM}/pods/cp-0/portforward`,
      /you may not create pods\/portforward in namespace lateral-system; docs\/operating\.md/,
    ],
    [`${SYSTEM}/pods`, /you may not read \/api\/v1\/namespaces\/lateral-system\/pods \(403: .*docs\/operating\.md/],
  ] as const) {
    const { kubeconfig } = await kubeconfigOf(t, { objects: SERVICE, lists, ports: {}, forbidden });
    const { code, stderr } = await runLateral(t, ['proxies', '--kubeconfig', kubeconfig]);
    t.equal(code, 1);
    t.match(stderr, message);
  }
});

t.test('an API server that does not answer, and one that does not know the user', async (t) => {
  const { kubeconfig } = await kubeconfigOf(t, { objects: SERVICE, lists: {}, ports: {} });
  const text = (await import('node:fs')).readFileSync(kubeconfig, 'utf8');
  await writeFile(kubeconfig, text.replace('token: secret', 'token: other'));
  t.match(
    (await runLateral(t, ['proxies', '--kubeconfig', kubeconfig])).stderr,
    /does not know you \(401\); log in again/,
  );
  await writeFile(kubeconfig, text.replace(/127\.0\.0\.1:\d+/, '127.0.0.1:1'));
  t.match(
    (await runLateral(t, ['proxies', '--kubeconfig', kubeconfig])).stderr,
    /the API server http:\/\/127\.0\.0\.1:1 does not answer .*is the cluster up, and --context the right one\?/,
  );
});
