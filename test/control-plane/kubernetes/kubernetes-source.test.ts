import t, { type Test } from 'tap';
import { createPolicyDistribution } from '#control-plane/discovery/policy-distribution.ts';
import { KubernetesSource } from '#control-plane/kubernetes/kubernetes-source.ts';
import { MAX_CONFIG_MAPS_PER_NAMESPACE } from '#control-plane/kubernetes/watch/config-map-watch.ts';
import { createMetrics } from '#control-plane/status/metrics.ts';
import { type Event, eventually, MESH } from '../control-plane-fixture.ts';
import { FakeApiServer } from './fake-api-server.ts';

async function sourceOf(t: Test, api: FakeApiServer, distribution = createPolicyDistribution(MESH)) {
  const client = await api.start();
  const events: Event[] = [];
  const ending = new AbortController();
  const source = new KubernetesSource({
    client,
    mesh: MESH,
    clusterDomain: 'cluster.local',
    meshDefaults: undefined,
    distribution,
    metrics: createMetrics(),
    log: (event, fields = {}) => events.push({ event, fields }),
    printProblems: () => {},
    signal: ending.signal,
  });
  t.teardown(async () => {
    ending.abort();
    api.stop();
    await source.close();
    client.close();
  });
  return { source, events, distribution };
}

const named = (name: string, more: object = {}) => ({ metadata: { name, namespace: 'shop', uid: name }, ...more });
const schema = (name: string, configMap: string) =>
  named(name, { spec: { openapi: { configMapRefs: [{ name: configMap, key: 'k' }] } } });
const SCHEMAS = '/apis/lateral.dev/v1alpha1/apischemas';

t.test('it has not started before something was published, and tries again until that succeeds', async (t) => {
  const distribution = createPolicyDistribution(MESH);
  let failures = 2;
  const failing = {
    ...distribution,
    publish(resources: Parameters<typeof distribution.publish>[0]) {
      failures -= 1;
      if (failures >= 0) throw new Error('not yet');
      distribution.publish(resources);
    },
  };
  const { source, events } = await sourceOf(t, new FakeApiServer(), failing);
  let hasStarted = false;
  const started = source.start().then(() => {
    hasStarted = true;
  });
  await eventually('it failed', () => events.some(({ event }) => event === 'policies_not_applied'), 10_000);
  t.notOk(hasStarted);
  await started;
  t.equal(failures, -1);
  t.not(source.status.version, '');
});

t.test('a Service that no reader takes is told in the log, and all else is in force', async (t) => {
  const api = new FakeApiServer();
  const spec = { clusterIPs: ['10.96.0.1'], ports: [{ name: 'http', port: 80 }] };
  api.lists.set('/api/v1/services', [named('bad', { spec }), named('good', { spec })]);
  const slice = { addressType: 'IPv4', ports: [{ name: 'http', port: 80 }] };
  const metadata = { name: 's', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'bad' } };
  const endpoints = [{ addresses: ['10.0.0.1'], hostname: 'Not A Label' }];
  api.lists.set('/apis/discovery.k8s.io/v1/endpointslices', [{ ...slice, metadata, endpoints }]);
  const { source, events, distribution } = await sourceOf(t, api);
  await source.start();
  t.match(events, [{ event: 'service_refused', fields: { service: 'shop/bad' } }, { event: 'policies_in_force' }]);
  const { resources } = distribution.snapshotFor({ namespace: 'shop', serviceAccount: 'orders', labels: {} });
  t.strictSame(
    resources.map(({ key }) => key),
    ['MeshService/shop/good'],
  );
});

t.test('names that no ConfigMap can have are not asked for, and those that are refused are missing', async (t) => {
  const api = new FakeApiServer();
  const asked: string[] = [];
  api.configMaps = (selector, response) => {
    asked.push(selector);
    if (selector !== 'metadata.name=forbidden') return false;
    response.writeHead(403, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ kind: 'Status', reason: 'Forbidden', message: 'not yours' }));
    return true;
  };
  const names = ['a=b', 'a,b', 'A B', 'forbidden', 'absent'];
  api.lists.set(
    SCHEMAS,
    names.map((name, index) => schema(`s${index}`, name)),
  );
  const { source } = await sourceOf(t, api);
  const startedAtMs = performance.now();
  await source.start();
  t.ok(performance.now() - startedAtMs < 5_000, 'at once');
  t.strictSame([...new Set(asked)].sort(), ['metadata.name=absent', 'metadata.name=forbidden']);
  t.match(source.state.configMapText('shop', 'a=b', 'k'), { kind: 'missing', reason: /cannot be the name/ });
  t.match(source.state.configMapText('shop', 'forbidden', 'k'), { kind: 'missing', reason: /not yours/ });
  t.match(source.state.configMapText('shop', 'absent', 'k'), { kind: 'missing', reason: /is not in namespace/ });
  for (const [index] of names.entries()) {
    const judged = source.state.resources.get(`lateral.dev/APISchema/shop/s${index}`);
    t.ok(
      judged?.problems?.some(({ severity }) => severity === 'error'),
      `${names[index]} is told in the status`,
    );
  }
});

t.test('ConfigMaps that never come do not hold up the start for ever', async (t) => {
  const api = new FakeApiServer();
  api.configMaps = () => true; // no answer
  api.lists.set(SCHEMAS, [schema('s', 'slow')]);
  const { source, events } = await sourceOf(t, api);
  await source.start();
  t.match(
    events.find(({ event }) => event === 'config_maps_not_known'),
    { fields: { missing: ['shop/slow'] } },
  );
});

t.test('a namespace has a share of the ConfigMaps that are watched', async (t) => {
  const api = new FakeApiServer();
  const many = Array.from({ length: MAX_CONFIG_MAPS_PER_NAMESPACE + 1 }, (_, index) =>
    schema(`s${index}`, `c${index}`),
  );
  const other = { ...schema('s', 'c'), metadata: { name: 's', namespace: 'web' } };
  api.lists.set(SCHEMAS, [...many, other]);
  const { source } = await sourceOf(t, api);
  await source.start();
  const last = source.state.configMapText('shop', `c${MAX_CONFIG_MAPS_PER_NAMESPACE}`, 'k');
  t.match(last, { kind: 'missing', reason: /32 ConfigMaps of namespace shop are watched already/ });
  t.match(source.state.configMapText('web', 'c', 'k'), { kind: 'missing', reason: /is not in namespace web/ });
});
