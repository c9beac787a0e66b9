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

const CONFIG_MAPS = '/api/v1/namespaces/lateral-system/configmaps';

/** The control plane's configuration, where the chart puts it. */
function configured(more: string) {
  const text = `apiVersion: lateral.dev/v1alpha1
kind: ControlPlaneConfig
authority: {kubernetesSecret: {}}
${more}`;
  return [{ metadata: { name: 'lateral-control-plane' }, data: { 'control-plane.yaml': text } }];
}

const CLUSTER: FakeCluster = {
  objects: { '/apis/lateral.dev/v1alpha1': KINDS },
  lists: {
    [CONFIG_MAPS]: configured('source: {kubernetes: {}}'),
    '/api/v1/namespaces': [{ metadata: { name: 'shop' } }, { metadata: { name: 'bank' } }],
    '/api/v1/pods': [pod('orders-1', 'orders', true), pod('orders-2', 'orders', false), pod('web-1', 'web', true)],
    '/api/v1/serviceaccounts': [
      { metadata: { name: 'orders', namespace: 'shop' } },
      { metadata: { name: 'web', namespace: 'shop' } },
    ],
    '/api/v1/services': [],
    '/apis/discovery.k8s.io/v1/endpointslices': [],
    '/apis/lateral.dev/v1alpha1/authorizationpolicies': [
      policy('orders', 'shop', {
        selector: { matchLabels: { app: 'orders' } },
        rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/web'] } }] }],
      }),
      policy('broken', 'bank', { rulse: [] }),
      policy('idle', 'shop', { selector: { matchLabels: { app: 'nobody' } }, rules: [{}] }),
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
spec:
  template:
    metadata: {annotations: {lateral.dev/interception: none}}
    spec: {containers: [{name: orders, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
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
  const [first = '', second = '', ...others] = stdout.trimEnd().split('\n');
  t.match(first, `${file}:6:30: warning injection Deployment shop/orders: interception none: calls to the pod's`);
  t.match(second, new RegExp(`^${file}:18:\\d+: warning unknown_principal `));
  t.strictSame(others, []);
  t.match(
    stderr,
    /^AuthorizationPolicy\/shop\/orders: changed; binds 2 pods, of which 1 without a sidecar: nothing guards them$/m,
  );
  t.match(stderr, /^AuthorizationPolicy\/shop\/more: new; binds 1 pod$/m);
  t.match(stderr, /^1 object of other groups left out$/m);
  t.match(stderr, /^0 errors, 2 warnings in 1 file \(2 resources, 1 workload\)$/m);
  t.notMatch(stderr, /assumed/);
  t.equal(code, 0);
});

t.test('ConfigMaps among the files count as if they were in the cluster', async (t) => {
  const document = '{"openapi":"3.1.0","info":{"title":"o","version":"1"},"paths":{}}';
  const schema = `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: orders, namespace: shop}
spec: {openapi: {configMapRefs: [{name: orders, key: document}]}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: orders, namespace: shop}
spec: {selector: {matchLabels: {app: orders}}, schemaRefs: [orders]}
`;
  const configMap = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: orders, namespace: shop}
data: {document: '${document}'}
`;
  const lists = { ...CLUSTER.lists, '/api/v1/namespaces/shop/configmaps': [] };
  const files = { 'all.yaml': schema + configMap, 'alone.yaml': schema };
  const { folder, kubeconfig } = await folderWith(t, files, { ...CLUSTER, lists });
  const check = (name: string) => runLateral(t, ['check', join(folder, name), '--cluster', '--kubeconfig', kubeconfig]);
  const all = await check('all.yaml');
  t.equal(all.stdout, '');
  t.equal(all.code, 0);
  t.notMatch(all.stderr, /left out/);
  t.match(all.stderr, /^APIValidationPolicy\/shop\/orders: new; binds 2 pods/m);

  const alone = await check('alone.yaml');
  t.match(alone.stdout, /alone\.yaml:4:\d+: error missing_config_map .*ConfigMap orders is not in namespace shop/);
  t.equal(alone.code, 1);
});

t.test('what cannot be read says which right is missing', async (t) => {
  const { kubeconfig } = await folderWith(t, {}, { ...CLUSTER, forbidden: '/api/v1/pods' });
  const { code, stdout, stderr } = await runLateral(t, ['check', '--cluster', '--kubeconfig', kubeconfig]);
  t.equal(code, 1);
  t.equal(stdout, '');
  t.match(
    stderr,
    /cannot read the cluster http\S+: your user may not list pods in all namespaces; docs\/operating\.md has a ClusterRole/,
  );
});

t.test('trust domain and cluster domain are those of the control plane', async (t) => {
  const files = {
    'm.yaml': `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: more, namespace: shop}
spec: {hosts: [orders.shop.svc.corp.example], ports: [{port: 80, protocol: http}], endpoints: []}
---
apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: [corp.example/ns/shop/sa/web]}}]}]}
`,
  };
  const service = { metadata: { namespace: 'shop', name: 'orders', uid: 's' }, spec: { ports: [{ port: 80 }] } };
  const lists = {
    ...CLUSTER.lists,
    '/api/v1/services': [service],
    '/apis/lateral.dev/v1alpha1/meshservices': [],
    [CONFIG_MAPS]: configured(
      'trustDomain: corp.example\nsource: {kubernetes: {clusterDomain: corp.example}}\nmeshDefaults: {mode: Audit}',
    ),
  };
  const resources = [...KINDS.resources, { name: 'meshservices', kind: 'MeshService', namespaced: true }];
  const cluster = { ...CLUSTER, objects: { '/apis/lateral.dev/v1alpha1': { resources } }, lists };
  const { folder, kubeconfig } = await folderWith(t, files, cluster);
  const args = ['check', join(folder, 'm.yaml'), '--cluster', '--kubeconfig', kubeconfig];
  const { stdout, stderr } = await runLateral(t, args);
  t.match(
    stdout,
    /m\.yaml:4:\d+: error duplicate_host the host orders\.shop\.svc\.corp\.example is already claimed by Service/,
  );
  t.notMatch(stdout, /m\.yaml:9/);
  t.notMatch(stderr, /assumed/);

  const given = await runLateral(t, [...args, '--trust-domain', 'cluster.local']);
  t.match(given.stdout, /m\.yaml:9:\d+: warning unknown_principal .*that of the mesh is cluster\.local/);
});

t.test('what of the control plane cannot be read is assumed, and said so', async (t) => {
  for (const [change, why] of [
    [{ forbidden: CONFIG_MAPS }, /ConfigMap lateral-system\/lateral-control-plane may not be read by your user/],
    [{ lists: { ...CLUSTER.lists, [CONFIG_MAPS]: [] } }, /is not there \(--root-namespace names/],
    [
      { lists: { ...CLUSTER.lists, [CONFIG_MAPS]: configured('source: {kubernetes: {}}\nnewField: 1') } },
      /this version of lateral: unknown field/,
    ],
  ] as const) {
    const { kubeconfig } = await folderWith(t, {}, { ...CLUSTER, ...change });
    const args = ['check', '--cluster', '-n', 'shop', '--kubeconfig', kubeconfig];
    const { code, stderr } = await runLateral(t, args);
    t.match(stderr, /^assumed: trust domain cluster\.local, cluster domain cluster\.local and no meshDefaults/);
    t.match(stderr, why);
    t.equal(code, 0);
  }
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
