import t from 'tap';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { loadResources } from '#policy/load-resources.ts';
import { indexResources, selectSnapshot } from '#policy/snapshot/select-snapshot.ts';
import { SnapshotError } from '#policy/snapshot/snapshot-error.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const RULES = 'spec: {rules: [{when: [{key: "request.headers[X-Team]", values: [a]}]}]';
const TEXT = `
${policy('orders', 'shop')}${RULES}, selector: {matchLabels: {app: orders}}}
---
${policy('all', 'shop')}${RULES}}
---
${policy('mesh', 'lateral-system')}${RULES}}
---
${policy('elsewhere', 'other')}${RULES}}
---
${policy('gateway', 'shop')}${RULES}, targetRefs: [{kind: Gateway, name: a}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {outbound: AllowAny}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: orders, namespace: other}
spec: {hosts: [orders.example.com]}
---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: orders, namespace: shop}
spec: {openapi: {inline: {openapi: 3.1.0, info: {title: t, version: v}, paths: {}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: unused, namespace: shop}
spec: {openapi: {inline: {openapi: 3.1.0, info: {title: t, version: v}, paths: {}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: orders, namespace: shop}
spec: {selector: {matchLabels: {app: orders}}, schemaRefs: [orders]}
`;

function policy(name: string, namespace: string): string {
  return `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${name}, namespace: ${namespace}}\n`;
}

const { resources, problems } = loadResources([{ path: 'a.yaml', text: TEXT }], () => undefined, MESH);
const orders = { name: 'orders-1', namespace: 'shop', serviceAccount: 'orders', labels: { app: 'orders' } };
const web = { name: 'web-1', namespace: 'shop', serviceAccount: 'web', labels: { app: 'web' } };

t.test('the set has no errors', (t) => {
  t.same(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  t.end();
});

t.test('a snapshot holds what binds the workload, what that names, and what all share', (t) => {
  t.same(
    selectSnapshot(resources, orders, MESH).resources.map(({ key }) => key),
    [
      'APISchema/shop/orders',
      'APIValidationPolicy/shop/orders',
      'AuthorizationPolicy/lateral-system/mesh',
      'AuthorizationPolicy/shop/all',
      'AuthorizationPolicy/shop/orders',
      'MeshDefaults/lateral-system/default',
      'MeshService/other/orders',
      'PeerAuthentication/shop/strict',
    ],
  );
  t.same(
    selectSnapshot(resources, web, MESH).resources.map(({ key }) => key),
    [
      'AuthorizationPolicy/lateral-system/mesh',
      'AuthorizationPolicy/shop/all',
      'MeshDefaults/lateral-system/default',
      'MeshService/other/orders',
      'PeerAuthentication/shop/strict',
    ],
  );
  t.end();
});

t.test('equal resources have equal versions, whatever their order', (t) => {
  const index = indexResources(resources, MESH);
  const reversed = indexResources([...resources].reverse(), MESH);
  t.match(index.select(orders).version, /^[0-9a-f]{32}$/);
  t.equal(index.select(orders).version, reversed.select(orders).version);
  t.not(index.select(orders).version, index.select(web).version);
  t.equal(
    index.select(web),
    index.select({ ...web, labels: { app: 'other' } }),
    'workloads with the same needs share a snapshot',
  );
  t.end();
});

t.test('a snapshot compiles to the law of its workload', async (t) => {
  const snapshot = selectSnapshot(resources, web, MESH);
  const compiled = await compileWorkloadPolicy(snapshot, web, MESH, async () => []);
  t.match(compiled, {
    version: snapshot.version,
    defaults: { outbound: 'AllowAny', authorizationDefault: 'Deny', mode: 'Enforce', pathNormalization: 'Refuse' },
    referredHeaders: ['x-team'],
    validation: undefined,
    problems: [],
  });
  t.match(compiled.services.resolve('orders.example.com'), { namespace: 'other', name: 'orders' });
});

t.test('policies that were chosen bind the workload, whatever labels its sidecar was started with', async (t) => {
  const snapshot = selectSnapshot(resources, orders, MESH);
  const before = { ...orders, labels: { app: 'before' } };
  const chosen = await compileWorkloadPolicy(snapshot, before, MESH, async () => []);
  t.equal(chosen.validation?.policy, 'shop/orders');
});

t.test('policies that target a Service bind the workloads behind it, as soon as they are', async (t) => {
  const TARGET = 'spec: {targetRefs: [{kind: Service, name: till}]';
  const policies = `
${policy('till', 'shop').replace('security.istio.io/v1', 'lateral.dev/v1alpha1')}${TARGET}, rules: [{}]}
---
apiVersion: lateral.dev/v1alpha1
kind: RequestAuthentication
metadata: {name: till, namespace: shop}
${TARGET}}
---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: till, namespace: shop}
spec: {openapi: {inline: {openapi: 3.1.0, info: {title: t, version: v}, paths: {}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: till, namespace: shop}
${TARGET}, schemaRefs: [till]}
`;
  const service = (spec: string) =>
    `---\napiVersion: lateral.dev/v1alpha1\nkind: MeshService\nmetadata: {name: till, namespace: shop}\nspec: {hosts: [till], ${spec}}\n`;
  const till = { name: 'x', namespace: 'shop', serviceAccount: 'till', labels: { app: 'till', zone: 'a' } };
  let index: ReturnType<typeof indexResources> | undefined;
  const bound = (text: string, workload = till) => {
    const loaded = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
    t.same(loaded.problems, []);
    index = indexResources(loaded.resources, MESH, index);
    t.equal(index.concerns(till), true, 'a change of a service may change what binds');
    return index.select(workload).resources.map(({ key }) => key.replace(/\/.*/, ''));
  };
  const all = ['APISchema', 'APIValidationPolicy', 'AuthorizationPolicy', 'MeshService', 'RequestAuthentication'];
  const endpoint = (account: string, labels: string) =>
    `endpoints: [{address: 127.0.0.1, port: 1, serviceAccount: ${account}, labels: ${labels}}]`;
  t.same(bound(policies), [], 'there is no such service');
  t.same(bound(policies + service('selector: {app: till}')), all);
  t.same(bound(policies + service('selector: {app: other}')), ['MeshService']);
  t.same(
    bound(policies + service(`selector: {app: other}, ${endpoint('till', '{}')}`)),
    ['MeshService'],
    'a selector tells all',
  );
  t.same(bound(policies + service(endpoint('till', '{app: till}'))), all);
  t.same(bound(policies + service(endpoint('till', '{}'))), all);
  t.same(bound(policies + service(endpoint('web', '{app: till}'))), ['MeshService']);
  t.same(bound(policies + service(endpoint('till', '{app: till, version: v1}'))), ['MeshService']);
  t.same(bound(policies + service('selector: {}, endpoints: []')), ['MeshService'], 'an empty selector is none');
  t.same(bound(policies + service('selector: {app: till}'), { ...till, namespace: 'other' }), ['MeshService']);
  const travelling = index?.select(till).resources.find(({ key }) => key.startsWith('MeshService/'));
  t.notMatch(travelling?.document, /selector/, 'callers need it not, and older sidecars do not know it');
});

t.test('a document that this program cannot read refuses the snapshot with the reason', async (t) => {
  const document =
    '{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"p","namespace":"shop"},"spec":{"actoin":"DENY"}}';
  const broken = {
    version: 'v',
    resources: [
      { key: 'AuthorizationPolicy/shop/p', version: 'v', document },
      { key: 'x', version: 'v', document: '{' },
    ],
  };
  const attempt = compileWorkloadPolicy(broken, web, MESH, async () => []);
  await t.rejects(
    attempt,
    new SnapshotError([
      'AuthorizationPolicy/shop/p: spec: unknown field actoin; did you mean action?',
      'x: not a JSON document',
    ]).constructor,
  );
  const reasons = await attempt.catch((error: unknown) => (error instanceof SnapshotError ? error.reasons : []));
  t.match(reasons, [
    'AuthorizationPolicy/shop/p: spec: unknown field actoin; did you mean action?',
    'x: not a JSON document',
  ]);
});
