import { readFile } from 'node:fs/promises';
import t from 'tap';
import { callFrom, Load } from './calls.ts';
import { apply, forward, get, helm, kubectl, lateral, list, root, run, succeed, until } from './cluster-tools.ts';

/** The mesh as a user meets it: installed by helm, a namespace labelled, used, upgraded, gone. */
const ROOT = 'lateral-system';
const IMAGE = ['--set', 'image.repository=localhost/lateral', '--set', 'image.tag=dev'];
const TELEMETRY = ['--set', 'telemetry.otlp=http://jaeger.observability:4317', '--set', 'telemetry.sampleRatio=1'];
const CHART = [...IMAGE, '--set', 'image.pullPolicy=IfNotPresent', ...TELEMETRY, '--wait', '--timeout', '120s'];
const ORDER = { item: 'book', quantity: 2 };
/** A policy change must be in force within this. */
const PROPAGATION_LIMIT_MS = 2_000;
const SPANS_OF_THREE_CALLS = 12;

const example = (name: string) => readFile(`${root}examples/shop/kubernetes/${name}`, 'utf8');
const ready = (...names: readonly string[]) =>
  Promise.all(names.map((name) => kubectl('rollout', 'status', '-n', 'shop', `deploy/${name}`, '--timeout=120s')));
const hasJaeger = (await run('kubectl', ['get', 'nodes', '-o', 'json'])).stdout.includes('localhost/jaeger:');

t.test('the chart is installed', async (t) => {
  await kubectl('create', 'namespace', ROOT);
  const rendered = await succeed('helm', ['template', 'lateral', 'helm/lateral', '-n', ROOT, ...IMAGE]);
  const dry = await run('kubectl', ['apply', '--dry-run=server', '-f', '-'], rendered);
  t.equal(dry.code, 0, 'helm template | kubectl apply --dry-run=server');
  t.equal(dry.stderr, '', 'without a warning');
  if (hasJaeger) {
    await kubectl('create', 'namespace', 'observability');
    await kubectl('apply', '-n', 'observability', '-f', `${root}../shared/cluster/manifests/jaeger.yaml`);
  }
  await helm('install', 'lateral', 'helm/lateral', '-n', ROOT, ...CHART);
  const { status } = await get('deployment', 'lateral-control-plane', ROOT);
  t.equal(status.readyReplicas, status.replicas);
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
        ['lateral-sidecar', 'Always'],
        ['lateral-init', undefined],
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
  // kubectl hears that a pod is ready a moment before the sidecars of its callers do
  const checkout = () => outcome('deploy/client', 'POST', 'http://web.shop/checkout', ORDER);
  await until('web -> orders -> payments', checkout, (seen) => seen === '201', 10_000);
  t.equal(await outcome('deploy/client', 'GET', 'http://web/catalog'), '200');
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

t.test('operators see who is connected, why a request was refused, and what passes', async (t) => {
  const proxies = await lateral('proxies', 'shop', '--json');
  t.equal(proxies.code, 0, proxies.stderr);
  const shown = JSON.parse(proxies.stdout).proxies as { identity: string; state: string }[];
  t.strictSame(
    [...new Set(shown.map(({ identity, state }) => `${identity.replace(/^.*\/sa\//, '')} ${state}`))].sort(),
    ['client current', 'orders current', 'payments current', 'web current'],
  );
  const refused = await callFrom('deploy/client', 'POST', 'http://payments/payments', { body: {} });
  t.equal(refused.status, 403);
  const explained = await until(
    'the decision',
    () => lateral('explain', refused.decisionId),
    ({ code }) => code === 0,
    10_000,
  );
  t.match(explained.stdout, /refused: authorization_not_allowed/);
  t.match(explained.stdout, /cluster\.local\/ns\/shop\/sa\/client is not one of cluster\.local\/ns\/shop\/sa\/orders/);
  const tap = lateral('tap', 'shop/web', '--direction', 'inbound', '--json', '--limit', '1', '--for', '30s');
  const isTapped = tap.then(() => true);
  while (!(await Promise.race([isTapped, new Promise<false>((resolve) => setTimeout(() => resolve(false), 500))]))) {
    await callFrom('deploy/client', 'GET', 'http://web/catalog');
  }
  const { stdout } = await tap;
  t.match(JSON.parse(stdout.split('\n')[0] ?? ''), {
    path: '/catalog',
    status: 200,
    source: 'spiffe://cluster.local/ns/shop/sa/client',
  });
  const check = await lateral('check', '--cluster', '-n', 'shop', '--json');
  t.equal(check.code, 0, check.stdout);
});

t.test('a Pod whose labels change is under other policies', async (t) => {
  const [pod] = await list('pods', 'shop', 'app=payments');
  const url = `http://${pod?.status.podIP}:8080/payments/p-1`;
  const status = async () => (await callFrom('deploy/client', 'GET', url)).status;
  await apply(`apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: opened, namespace: shop}
spec:
  selector: {matchLabels: {opened: "yes"}}
  rules: [{to: [{operation: {methods: [GET]}}]}]
`);
  t.equal(await status(), 403);
  await kubectl('label', '-n', 'shop', 'pod', pod?.metadata.name ?? '', 'opened=yes');
  await until('allowed by its new label', status, (seen) => seen === 200, 10_000);
  await kubectl('label', '-n', 'shop', 'pod', pod?.metadata.name ?? '', 'opened-');
  await until('refused without it', status, (seen) => seen === 403, 10_000);
  await kubectl('delete', '-n', 'shop', 'authorizationpolicies.lateral.dev', 'opened');
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
        const { data } = (await response.json()) as { data?: { spans: JaegerSpan[] }[] };
        return data?.[0]?.spans ?? [];
      },
      (found) => found.length >= SPANS_OF_THREE_CALLS,
      30_000,
    );
    t.equal(spans.length, SPANS_OF_THREE_CALLS, 'a server and a client span in each of two sidecars, for three calls');
    const byId = new Map(spans.map((span) => [span.spanID, span]));
    // from the innermost to the root: each span's parent is there, and of the other kind
    const last = spans.find(
      (span) => tag(span, 'span.kind') === 'client' && !spans.some((one) => parentOf(one) === span.spanID),
    );
    const chain: string[] = [];
    for (let span = last; span !== undefined; span = byId.get(parentOf(span) ?? '')) {
      chain.unshift(
        `${tag(span, 'lateral.direction')} ${tag(span, 'span.kind')} ${accountOf(tag(span, 'lateral.destination'))}`,
      );
      if (parentOf(span) === '00f067aa0ba902b7') break; // the caller's own span, which nobody sent
    }
    const expected = ['web', 'orders', 'payments'].flatMap((name) =>
      ['outbound server', 'outbound client', 'inbound server', 'inbound client'].map((step) => `${step} ${name}`),
    );
    t.strictSame(chain, expected);
    const decided = spans.filter(
      (span) => tag(span, 'span.kind') === 'server' && tag(span, 'lateral.direction') === 'inbound',
    );
    const callers = decided.map(
      (span) => `${tag(span, 'lateral.source')} ${tag(span, 'lateral.decision')} ${tag(span, 'lateral.policy')}`,
    );
    t.strictSame(callers.sort(), [
      'spiffe://cluster.local/ns/shop/sa/client allow shop/web',
      'spiffe://cluster.local/ns/shop/sa/orders allow shop/payments',
      'spiffe://cluster.local/ns/shop/sa/web allow shop/orders',
    ]);
  },
);

t.test('everything is gone after the uninstall', async (t) => {
  await kubectl('delete', 'namespace', 'shop', 'outside', '--wait=true', '--timeout=120s');
  await helm('uninstall', 'lateral', '-n', ROOT, '--wait', '--timeout', '120s');
  const kinds = 'crd,mutatingwebhookconfiguration,validatingwebhookconfiguration,clusterrole,clusterrolebinding';
  t.notMatch(await kubectl('get', kinds, '-o', 'name'), /lateral/);
  const namespaced = 'deploy,pods,svc,cm,secrets,serviceaccounts,leases,roles,rolebindings,networkpolicies,pdb';
  const left = await until(
    'what is left',
    async () => (await kubectl('get', namespaced, '-n', ROOT, '-o', 'name')).split('\n').filter(isOfLateral),
    (names) => names.length === 0, // pods have a grace period
  );
  t.strictSame(left, []);
  await kubectl('delete', 'namespace', ROOT, '--wait=true', '--timeout=60s');
  if (hasJaeger) await kubectl('delete', 'namespace', 'observability', '--wait=true', '--timeout=60s');
});

/** False for what every namespace has. */
function isOfLateral(name: string): boolean {
  return name !== '' && !/kube-root-ca|serviceaccount\/default/.test(name);
}

interface JaegerSpan {
  readonly spanID: string;
  readonly operationName: string;
  readonly references: readonly { readonly refType: string; readonly spanID: string }[];
  readonly tags: readonly { readonly key: string; readonly value: unknown }[];
}

function parentOf({ references }: JaegerSpan): string | undefined {
  return references.find(({ refType }) => refType === 'CHILD_OF')?.spanID;
}

/** The service account of a SPIFFE ID, or the name of a service. */
function accountOf(destination: string | undefined): string {
  return /\/sa\/(.*)$/.exec(destination ?? '')?.[1] ?? destination?.split('.')[0] ?? '';
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
