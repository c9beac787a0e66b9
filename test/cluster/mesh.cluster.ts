import { readFile } from 'node:fs/promises';
import t from 'tap';
import { callFrom, Load } from './calls.ts';
import { apply, forward, get, helm, kubectl, list, root, run, succeed, until } from './cluster-tools.ts';

/** The mesh as a user meets it: installed by helm, a namespace labelled, used, upgraded, gone. */
const ROOT = 'lateral-system';
const IMAGE = ['--set', 'image.repository=localhost/lateral', '--set', 'image.tag=dev'];
const TELEMETRY = ['--set', 'telemetry.otlp=http://jaeger.observability:4317', '--set', 'telemetry.sampleRatio=1'];
const CHART = [...IMAGE, '--set', 'image.pullPolicy=IfNotPresent', ...TELEMETRY, '--wait', '--timeout', '120s'];
const ORDER = { item: 'book', quantity: 2 };
/** A policy change must be in force within this. */
const PROPAGATION_LIMIT_MS = 2_000;

const example = (name: string) => readFile(`${root}examples/shop/kubernetes/${name}`, 'utf8');
const ready = (...names: readonly string[]) =>
  Promise.all(names.map((name) => kubectl('rollout', 'status', '-n', 'shop', `deploy/${name}`, '--timeout=120s')));
const hasJaeger = (await run('kubectl', ['get', 'nodes', '-o', 'json'])).stdout.includes('localhost/jaeger:');

t.test('the chart is installed', async (t) => {
  const rendered = await succeed('helm', ['template', 'lateral', 'helm/lateral', '-n', ROOT, ...IMAGE]);
  if (hasJaeger) {
    await kubectl('create', 'namespace', 'observability');
    await kubectl('apply', '-n', 'observability', '-f', `${root}../shared/cluster/manifests/jaeger.yaml`);
  }
  await helm('install', 'lateral', 'helm/lateral', '-n', ROOT, '--create-namespace', ...CHART);
  const { status } = await get('deployment', 'lateral-control-plane', ROOT);
  t.equal(status.readyReplicas, status.replicas);
  const dry = await run('kubectl', ['apply', '--dry-run=server', '-f', '-'], rendered);
  t.equal(dry.code, 0, dry.stderr);
  t.notMatch(dry.stderr, /[Ww]arning/);
  t.match(await helm('test', 'lateral', '-n', ROOT), /Phase:\s+Succeeded/);
});

t.test('a labelled namespace is part of the mesh', async (t) => {
  await apply(await example('shop.yaml'));
  for (const name of ['web', 'orders', 'payments']) {
    const file = `examples/shop/policies/${name}.openapi.json`;
    await kubectl('-n', 'shop', 'create', 'configmap', `${name}-openapi`, `--from-file=${file}`);
  }
  await apply(await example('policies.yaml'));
  await ready('client', 'web', 'orders', 'payments');
  for (const pod of await list('pods', 'shop')) {
    const { initContainers, containers } = pod.spec;
    t.strictSame(
      initContainers.map(({ name, restartPolicy }: { name: string; restartPolicy?: string }) => [name, restartPolicy]),
      [
        ['lateral-init', undefined],
        ['lateral-sidecar', 'Always'],
      ],
    );
    t.equal(containers.length, 1);
    t.match(JSON.parse(pod.metadata.annotations?.['lateral.dev/injected'] ?? '{}'), { interception: 'redirect' });
  }
});

t.test('calls are allowed and refused as the resources say', async (t) => {
  const outcome = async (target: string, method: string, url: string, body?: unknown) => {
    const { status, code } = await callFrom(target, method, url, body === undefined ? {} : { body });
    return code === '' ? `${status}` : `${status} ${code}`;
  };
  t.equal(await outcome('deploy/client', 'GET', 'http://web/catalog'), '200');
  t.equal(await outcome('deploy/client', 'POST', 'http://web.shop/checkout', ORDER), '201');
  t.equal(await outcome('deploy/client', 'GET', 'http://web.shop.svc.cluster.local/catalog'), '200');
  t.equal(await outcome('deploy/web', 'GET', 'http://orders/orders/1'), '200');
  t.equal(await outcome('deploy/client', 'POST', 'http://payments/payments', {}), '403 authorization_not_allowed');
  t.equal(await outcome('deploy/web', 'DELETE', 'http://orders/orders/1'), '403 authorization_not_allowed');
  t.equal(
    await outcome('deploy/client', 'POST', 'http://web/checkout', { item: 'book', quantity: 'two' }),
    '400 invalid_body',
  );
  t.equal(await outcome('deploy/web', 'GET', 'http://orders/orders/abc'), '400 invalid_parameter');
  t.equal(await outcome('deploy/client', 'GET', 'http://web/debug/env'), '404 undocumented_path');
  t.equal(await outcome('deploy/client', 'GET', 'http://billing.shop.svc.cluster.local/'), '0 ENOTFOUND');
});

t.test('plaintext from outside of the mesh is refused', async (t) => {
  await kubectl('create', 'namespace', 'outside');
  await apply(`apiVersion: v1
kind: Pod
metadata: {name: outsider, namespace: outside}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: outsider, image: "localhost/shop:dev", imagePullPolicy: IfNotPresent, args: [/shop/client.ts]}]
`);
  await kubectl('wait', '-n', 'outside', '--for=condition=Ready', 'pod/outsider', '--timeout=60s');
  const outsider = (url: string) => callFrom('pod/outsider', 'GET', url, { namespace: 'outside' });
  const byService = await outsider('http://orders.shop/orders/1');
  t.equal(byService.status, 0, byService.code);
  const [pod] = await list('pods', 'shop', 'app=orders');
  const byAddress = await outsider(`http://${pod?.status.podIP}:8080/orders/1`);
  t.equal(byAddress.status, 0, byAddress.code);
  const toListener = await outsider(`http://${pod?.status.podIP}:15006/orders/1`);
  t.equal(toListener.status, 0, toListener.code);
  const toOutbound = await outsider(`http://${pod?.status.podIP}:15001/orders/1`);
  t.equal(toOutbound.status, 0, toOutbound.code);
});

t.test('a Job completes', async (t) => {
  await apply(`apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: shop}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {app: client}}
    spec:
      serviceAccountName: client
      restartPolicy: Never
      containers:
        - name: once
          image: localhost/shop:dev
          imagePullPolicy: IfNotPresent
          args: ["--input-type=module", "-e", "const r = await fetch('http://web/catalog'); console.log(r.status); process.exit(r.status === 200 ? 0 : 1)"]
`);
  const job = await until(
    'the Job',
    () => get('job', 'once', 'shop'),
    ({ status }) => (status?.succeeded ?? 0) + (status?.failed ?? 0) > 0,
    90_000,
  );
  t.equal(job.status.succeeded, 1);
  t.equal(await kubectl('logs', '-n', 'shop', 'job/once', '-c', 'once'), '200');
});

t.test('a policy change is in force, and taken back, in under two seconds', async (t) => {
  const policy = `apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: payments-client, namespace: shop}
spec:
  selector: {matchLabels: {app: payments}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]
      to: [{operation: {methods: [POST]}}]
`;
  const status = async () =>
    (await callFrom('deploy/client', 'POST', 'http://payments/payments', { body: { orderId: '1', amount: 1 } })).status;
  t.equal(await status(), 403);
  await apply(policy);
  const appliedAt = Date.now();
  await until('allowed', status, (seen) => seen === 201, 10_000);
  t.ok(Date.now() - appliedAt < PROPAGATION_LIMIT_MS * 2, `${Date.now() - appliedAt} ms with kubectl exec`);
  const object = await until(
    'its status',
    () => get('authorizationpolicies.lateral.dev', 'payments-client', 'shop'),
    (found) => condition(found, 'Programmed')?.status === 'True',
    10_000,
  );
  t.equal(condition(object, 'Accepted')?.status, 'True');
  t.match(condition(object, 'Programmed')?.message, /1 of 1/);
  await kubectl('delete', '-n', 'shop', 'authorizationpolicies.lateral.dev', 'payments-client');
  await until('refused again', status, (seen) => seen === 403, 10_000);
});

t.test('what cannot work is refused at admission', async (t) => {
  const refused = async (spec: string) => {
    const { code, stderr } = await run(
      'kubectl',
      ['apply', '-f', '-'],
      `apiVersion: lateral.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: broken, namespace: shop}\nspec: ${spec}\n`,
    );
    t.not(code, 0);
    return stderr;
  };
  t.match(await refused('{action: DENY}'), /DENY without rules is meaningless/);
  t.match(await refused('{rulez: []}'), /rulez/);
  t.match(await refused('{rules: [{from: [{source: {principals: ["spiffe://x"]}}]}]}'), /principals/);
});

t.test('a rolling update under load loses no request', async (t) => {
  const load = await Load.begin('deploy/client', 'http://web/catalog');
  await kubectl('rollout', 'restart', '-n', 'shop', 'deploy/web');
  await ready('web');
  await kubectl('rollout', 'restart', '-n', 'shop', 'deploy/web');
  await ready('web');
  const { outcomes, failures } = await load.finish();
  t.comment(JSON.stringify(outcomes));
  t.ok((outcomes['200'] ?? 0) > 500);
  t.strictSame(failures, []);
  t.strictSame(Object.keys(outcomes), ['200']);
});

t.test('the chart is upgraded and rolled back under load without a failed request', async (t) => {
  const load = await Load.begin('deploy/client', 'http://web/catalog');
  await helm('upgrade', 'lateral', 'helm/lateral', '-n', ROOT, ...CHART, '--set', 'podAnnotations.upgraded=yes');
  await helm('rollback', 'lateral', '-n', ROOT, '--wait', '--timeout', '120s');
  const { outcomes, failures } = await load.finish();
  t.comment(JSON.stringify(outcomes));
  t.strictSame(failures, []);
  t.strictSame(Object.keys(outcomes), ['200']);
  t.equal((await callFrom('deploy/client', 'POST', 'http://web/checkout', { body: ORDER })).status, 201);
});

t.test(
  'one call through three services is one trace in Jaeger',
  { skip: hasJaeger ? false : 'no Jaeger image' },
  async (t) => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
    const { status } = await callFrom('deploy/client', 'POST', 'http://web/checkout', {
      body: ORDER,
      headers: { traceparent },
    });
    t.equal(status, 201);
    const jaeger = await forward('svc/jaeger', 'observability', 16686);
    t.teardown(() => jaeger.end());
    const spans = await until(
      'the trace',
      async (): Promise<readonly JaegerSpan[]> => {
        const response = await fetch(`${jaeger.url}/api/traces/${traceId}`);
        return ((await response.json()) as { data?: { spans: JaegerSpan[] }[] }).data?.[0]?.spans ?? [];
      },
      (found) => found.length >= 6,
      30_000,
    );
    t.equal(spans.length, 6, 'a client span and a server span for each of three calls');
    const byId = new Map(spans.map((span) => [span.spanID, span]));
    const kinds = spans.map((span) => tag(span, 'span.kind')).sort();
    t.strictSame(kinds, ['client', 'client', 'client', 'server', 'server', 'server']);
    for (const span of spans) {
      const [reference] = span.references;
      if (tag(span, 'span.kind') === 'server') {
        const parent = byId.get(reference?.spanID ?? '');
        t.equal(
          parent === undefined ? undefined : tag(parent, 'span.kind'),
          'client',
          'a server span is a child of its client span',
        );
        t.match(tag(span, 'lateral.source'), /^spiffe:\/\/cluster\.local\/ns\/shop\/sa\//);
        t.equal(tag(span, 'lateral.decision'), 'allow');
      }
    }
    const sources = spans
      .filter((span) => tag(span, 'span.kind') === 'server')
      .map((span) => tag(span, 'lateral.source'))
      .sort();
    t.strictSame(
      sources,
      ['client', 'orders', 'web'].map((name) => `spiffe://cluster.local/ns/shop/sa/${name}`),
    );
  },
);

t.test('everything is gone after the uninstall', async (t) => {
  await kubectl('delete', 'namespace', 'shop', 'outside', '--wait=true', '--timeout=120s');
  await helm('uninstall', 'lateral', '-n', ROOT, '--wait', '--timeout', '120s');
  const kinds = 'crd,mutatingwebhookconfiguration,validatingwebhookconfiguration,clusterrole,clusterrolebinding';
  t.notMatch(await kubectl('get', kinds, '-o', 'name'), /lateral/);
  const namespaced = 'deploy,pods,svc,cm,secrets,serviceaccounts,leases,roles,rolebindings,networkpolicies,pdb';
  const left = (await kubectl('get', namespaced, '-n', ROOT, '-o', 'name')).split('\n');
  t.strictSame(
    left.filter((name) => !/kube-root-ca|serviceaccount\/default/.test(name) && name !== ''),
    [],
  );
  await kubectl('delete', 'namespace', ROOT, '--wait=true', '--timeout=60s');
  if (hasJaeger) await kubectl('delete', 'namespace', 'observability', '--wait=true', '--timeout=60s');
});

interface JaegerSpan {
  readonly spanID: string;
  readonly operationName: string;
  readonly references: readonly { readonly refType: string; readonly spanID: string }[];
  readonly tags: readonly { readonly key: string; readonly value: unknown }[];
}

function tag({ tags }: JaegerSpan, name: string): string | undefined {
  const found = tags.find(({ key }) => key === name);
  return found === undefined ? undefined : String(found.value);
}

function condition(
  object: { readonly status?: { conditions?: readonly Condition[] } },
  type: string,
): Condition | undefined {
  return object.status?.conditions?.find((one) => one.type === type);
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}
