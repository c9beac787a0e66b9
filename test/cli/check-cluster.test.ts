import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runLateral } from '../support/run-lateral.ts';
import { type FakeCluster, startFakeApi } from './operations/fake-kubernetes-api.ts';

const KINDS = {
  resources: [
    { name: 'authorizationpolicies', kind: 'AuthorizationPolicy', namespaced: true },
    { name: 'authorizationpolicies/status', kind: 'AuthorizationPolicy', namespaced: true },
    { name: 'apischemas', kind: 'APISchema', namespaced: true },
    { name: 'apivalidationpolicies', kind: 'APIValidationPolicy', namespaced: true },
  ],
};

const INJECTED = { 'lateral.dev/injected': JSON.stringify({ interception: 'redirect', inbound: {} }) };

function pod(name: string, account: string, isInjected: boolean) {
  return {
    metadata: { namespace: 'shop', name, uid: name, labels: { app: account }, annotations: isInjected ? INJECTED : {} },
    spec: { serviceAccountName: account },
    status: { phase: 'Running' },
  };
}

function policy(name: string, namespace: string, spec: object) {
  const metadata = {
    name,
    namespace,
    uid: name,
    resourceVersion: '1',
    generation: 1,
    creationTimestamp: '2026-01-01T00:00:00Z',
  };
  return { apiVersion: 'lateral.dev/v1alpha1', kind: 'AuthorizationPolicy', metadata, spec };
}

const CLUSTER: FakeCluster = {
  objects: { '/apis/lateral.dev/v1alpha1': KINDS },
  lists: {
    '/api/v1/namespaces': [{ metadata: { name: 'shop' } }, { metadata: { name: 'bank' } }],
    '/api/v1/pods': [pod('orders-1', 'orders', true), pod('orders-2', 'orders', false), pod('web-1', 'web', true)],
    '/api/v1/services': [],
    '/apis/discovery.k8s.io/v1/endpointslices': [],
    '/apis/lateral.dev/v1alpha1/authorizationpolicies': [
      policy('orders', 'shop', {
        selector: { matchLabels: { app: 'orders' } },
        rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/web'] } }] }],
      }),
      policy('broken', 'bank', { rulse: [] }),
      policy('idle', 'shop', { selector: { matchLabels: { app: 'nobody' } } }),
    ],
    '/apis/lateral.dev/v1alpha1/apischemas': [],
    '/apis/lateral.dev/v1alpha1/apivalidationpolicies': [],
  },
  ports: {},
};

/** Files of the test, and the kubeconfig of a cluster beside them. */
async function folderWith(t: Test, files: { readonly [name: string]: string }, cluster = CLUSTER) {
  const api = await startFakeApi(t, cluster);
  const folder = t.testdir({ ...files, kubeconfig: api.kubeconfig });
  return { folder, kubeconfig: join(folder, 'kubeconfig') };
}

t.test('the resources of a cluster are checked in the words of files', async (t) => {
  const { kubeconfig } = await folderWith(t, {});
  const all = await runLateral(t, ['check', '--cluster', '--kubeconfig', kubeconfig]);
  t.match(all.stdout.split('\n'), [
    /^AuthorizationPolicy\/bank\/broken:\d+:\d+: error unknown_field spec: unknown field rulse; did you mean rules\?$/,
    /^AuthorizationPolicy\/shop\/idle:\d+:\d+: warning no_workload binds no workload: the selector matches no Pod of namespace shop$/,
    '',
  ]);
  t.equal(all.stderr, '1 error, 1 warning in the cluster\n');
  t.equal(all.code, 1);

  const shop = await runLateral(t, ['check', '--cluster', '-n', 'shop', '--json'], { KUBECONFIG: kubeconfig });
  t.equal(shop.code, 0);
  t.match(JSON.parse(shop.stdout), { errors: 0, warnings: 1, problems: [{ code: 'no_workload' }], effects: [] });
});

t.test('files are checked against the cluster: what would be said, and whom it would bind', async (t) => {
  const { folder, kubeconfig } = await folderWith(t, {
    'new.yaml': `apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop}
---
apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/wbe"]}}]}]
---
apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: more, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, rules: [{}]}
`,
  });
  const file = join(folder, 'new.yaml');
  const { code, stdout, stderr } = await runLateral(t, ['check', file, '--cluster', '--kubeconfig', kubeconfig]);
  t.match(stdout, new RegExp(`^${file}:10:\\d+: warning unknown_principal `));
  t.equal(stdout.trimEnd().split('\n').length, 1, stdout);
  t.match(
    stderr,
    /^AuthorizationPolicy\/shop\/orders: changed; binds 2 pods, of which 1 without a sidecar: nothing guards them$/m,
  );
  t.match(stderr, /^AuthorizationPolicy\/shop\/more: new; binds 1 pod$/m);
  t.match(stderr, /^1 object of other groups left out$/m);
  t.match(stderr, /^0 errors, 1 warning in 1 file \(2 resources\)$/m);
  t.equal(code, 0);
});

t.test('what cannot be read says which right is missing', async (t) => {
  const { kubeconfig } = await folderWith(t, {}, { ...CLUSTER, forbidden: '/api/v1/pods' });
  const { code, stdout, stderr } = await runLateral(t, ['check', '--cluster', '--kubeconfig', kubeconfig]);
  t.equal(code, 1);
  t.equal(stdout, '');
  t.match(
    stderr,
    /cannot read the cluster http.*pods.*your user may not list and watch it; docs\/operating\.md has a ClusterRole/,
  );
});

t.test('wrong usage says what to change', async (t) => {
  for (const [args, message] of [
    [['check'], /name a file or folder to check, or --cluster/],
    [['check', 'a.yaml', '-n', 'shop'], /go with --cluster/],
    [['check', 'a.yaml', '--cluster', '-n', 'shop'], /--namespace goes without PATH/],
    [['check', '--cluster'], /nobody to ask/],
  ] as const) {
    const { code, stderr } = await runLateral(t, args);
    t.equal(code, 2);
    t.match(stderr, message);
  }
});
