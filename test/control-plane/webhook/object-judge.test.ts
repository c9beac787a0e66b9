import t from 'tap';
import { clusterPodOf, clusterServiceOf } from '#control-plane/kubernetes/cluster/cluster-objects.ts';
import { ClusterState } from '#control-plane/kubernetes/cluster/cluster-state.ts';
import { judgeObject } from '#control-plane/kubernetes/resources/judge-object.ts';
import { meshObjectOf } from '#control-plane/kubernetes/resources/mesh-objects.ts';
import { JudgeInWorker, TooLargeToJudge } from '#control-plane/webhook/judge-in-worker.ts';
import { createObjectJudge, MAX_LIGHT_CHARACTERS } from '#control-plane/webhook/object-judge.ts';
import { turnsMeanwhile } from '../../support/turns-meanwhile.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const LATERAL = { group: 'lateral.dev', version: 'v1alpha1' };
const OPENAPI = JSON.stringify({
  openapi: '3.1.0',
  info: { title: 'x', version: '1' },
  paths: { '/orders': { get: { operationId: 'list', responses: { 200: { description: 'x' } } } } },
});

function resource(kind: string, name: string, spec: object, namespace = 'shop') {
  return { apiVersion: 'lateral.dev/v1alpha1', kind, metadata: { name, namespace }, spec };
}

/** A cluster in which each question that is asked of a view has an answer. */
function cluster(): ClusterState {
  const state = new ClusterState({
    mesh: MESH,
    clusterDomain: 'cluster.local',
    meshDefaults: undefined,
    configMapText: (_namespace, name) =>
      name === 'api' ? { kind: 'text', text: OPENAPI } : { kind: 'missing', reason: `no ConfigMap ${name}` },
    onChange() {},
  });
  for (const namespace of ['shop', 'billing', 'lateral-system']) state.namespaceChanged(namespace, true);
  for (const namespace of ['shop', 'billing']) {
    const service = clusterServiceOf({
      metadata: { name: 'db', namespace },
      spec: { clusterIPs: [namespace === 'shop' ? '10.96.0.1' : '10.96.0.2'], ports: [{ name: 'tcp', port: 5432 }] },
    });
    if (service !== undefined) state.serviceChanged(`${namespace}/db`, service, undefined);
    const pod = clusterPodOf({
      metadata: { name: 'db-1', namespace, labels: { app: 'db' }, annotations: { 'lateral.dev/injected': '{}' } },
      spec: { serviceAccountName: 'db' },
      status: { podIPs: [{ ip: namespace === 'shop' ? '10.0.0.1' : '10.0.0.2' }] },
    });
    if (pod !== undefined) state.podChanged(`${namespace}/db-1`, pod, undefined);
    state.serviceAccountChanged(`${namespace}/db`, true);
  }
  const known = [
    resource('APISchema', 'api', { openapi: { inline: OPENAPI } }),
    resource('AuthorizationPolicy', 'deny', { action: 'DENY', rules: [{ to: [{ operation: { methods: ['PUT'] } }] }] }),
    resource('MeshService', 'pay', {
      hosts: ['pay.example.com'],
      endpoints: [{ address: '10.9.9.9', port: 1, plaintext: true }],
    }),
    resource('MeshDefaults', 'defaults', {}, 'lateral-system'),
  ];
  for (const [index, object] of known.entries()) {
    const metadata = {
      ...object.metadata,
      uid: `u${index}`,
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
    };
    const plural = object.kind === 'APISchema' ? 'apischemas' : `${object.kind.toLowerCase()}s`;
    const found = meshObjectOf({ ...object, metadata }, { ...LATERAL, kind: object.kind, plural });
    if (found !== undefined) state.resourceChanged(found.key, found);
  }
  state.refresh();
  return state;
}

const PRINCIPALS = ['cluster.local/ns/shop/sa/db', 'cluster.local/ns/shop/sa/nobody'];
const OBJECTS = [
  resource('AuthorizationPolicy', 'allow', {
    rules: [{ to: [{ operation: { methods: ['PUT'] } }] }, { from: [{ source: { principals: PRINCIPALS } }] }],
  }),
  resource('AuthorizationPolicy', 'tcp', {
    selector: { matchLabels: { app: 'none' } },
    action: 'DENY',
    rules: [{ to: [{ operation: { paths: ['/x'] } }] }],
  }),
  resource('AuthorizationPolicy', 'wide', { rules: [{ form: 1 }] }, 'lateral-system'),
  resource('PeerAuthentication', 'mtls', { mtls: { mode: 'STRICT' } }),
  resource('MeshService', 'db', {
    hosts: ['x.billing.svc', 'db'],
    endpoints: [{ address: '10.0.0.2', port: 1 }],
  }),
  resource('MeshService', 'same', {
    hosts: ['pay.example.com'],
    endpoints: [{ address: '10.9.9.8', port: 1, plaintext: true }],
  }),
  resource('MeshDefaults', 'more', {}, 'lateral-system'),
  resource('APISchema', 'parts', { openapi: { configMapRefs: [{ name: 'api', key: 'a' }] } }),
  resource('APISchema', 'gone', { openapi: { configMapRefs: [{ name: 'gone', key: 'a' }] } }),
  resource('APISchema', 'answers', {
    openapi: {
      inline: OPENAPI.replace('"description":"x"', '"content":{"text/event-stream":{"schema":{"type":"object"}}}'),
    },
  }),
  resource('APIValidationPolicy', 'check', {
    schemaRefs: ['api', 'none'],
    overrides: [{ operationId: 'lost', mode: 'Audit' }],
  }),
];

t.test('the worker says of each object what the main thread says', async (t) => {
  const view = cluster();
  const worker = new JudgeInWorker(view, 60_000);
  t.teardown(() => worker.close());
  const codes = new Set<string>();
  for (const object of OBJECTS) {
    const judgement = await worker.judge(JSON.stringify(object), object.metadata.namespace);
    t.same(judgement, judgeObject(object, view), `${object.kind} ${object.metadata.name}`);
    for (const { code } of [...judgement.errors, ...judgement.warnings]) codes.add(code);
  }
  const wanted = [
    'contradiction',
    'denies_tcp',
    'unknown_principal',
    'no_workload',
    'duplicate_host',
    'missing_config_map',
    'schema_unavailable',
  ];
  for (const code of [...wanted, 'unknown_reference', 'duplicate_resource']) t.ok(codes.has(code), code);
});

t.test('a principal of no service account is doubted, one whose workload is not there now is not', (t) => {
  const view = cluster();
  view.serviceAccountChanged('shop/nightly-job', true);
  const name = (account: string) => `cluster.local/ns/${account.replace('/', '/sa/')}`;
  const principals = ['shop/db', 'shop/nightly-job', 'shop/nightly-jbo', 'shpo/db'].map(name);
  const doubtsNow = () => {
    const { warnings } = judgeObject(
      resource('AuthorizationPolicy', 'p', { rules: [{ from: [{ source: { principals } }] }] }),
      view,
    );
    return warnings.filter(({ code }) => code === 'unknown_principal').map(({ message }) => message);
  };
  const typos = [
    'there is no service account nightly-jbo in namespace shop',
    'there is no service account db in namespace shpo',
  ];
  t.strictSame(doubtsNow(), typos);
  view.serviceAccountChanged('shop/nightly-job', false);
  t.strictSame(doubtsNow(), ['there is no service account nightly-job in namespace shop', ...typos]);
  t.end();
});

t.test('a large object does not hold up the main thread', async (t) => {
  const view = cluster();
  const { judge, close } = createObjectJudge(view);
  t.teardown(close);
  const rules = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ to: [{ operation: { paths: [`/a${index}/{*}/b`] } }] }));
  const large = resource('AuthorizationPolicy', 'p', { rules: rules(5000) });
  t.ok(JSON.stringify(large).length > MAX_LIGHT_CHARACTERS);
  let beats = 0;
  const heart = setInterval(() => {
    beats += 1;
  }, 1);
  const judgement = judge(large, 'a');
  t.ok(judgement instanceof Promise);
  t.same((await judgement).errors, []);
  clearInterval(heart);
  t.ok(beats >= 10, `${beats} timers ran meanwhile`);
  let deep: object = {};
  for (let depth = 0; depth < 20_000; depth += 1) deep = { deep };
  t.match(await judge(resource('AuthorizationPolicy', 'p', deep), 'a'), { errors: [{ code: 'yaml_too_deep' }] });
});

t.test('what takes too long is refused by name of the limit, and the next object has a new worker', async (t) => {
  const view = cluster();
  const worker = new JudgeInWorker(view, 1);
  t.teardown(() => worker.close());
  const text = JSON.stringify(OBJECTS[0]);
  await t.rejects(
    worker.judge(text, 'shop'),
    new TooLargeToJudge('not judged within 1 ms; divide it into smaller objects'),
  );
  await t.rejects(worker.judge(text, 'shop'), { message: /not judged within/ });
});

t.test('a fault of our own in the worker is told as one', async (t) => {
  const view = cluster();
  const broken = {
    mesh: MESH,
    namespaces: view.namespaces,
    meshDefaults: undefined,
    configMapText: view.configMapText.bind(view),
    hostClaim: view.hostClaim.bind(view),
    foreignAddresses: view.foreignAddresses.bind(view),
    good: view.good.bind(view),
    allGood: () => [],
    isService: view.isService.bind(view),
    countWorkloads: () => 0,
    serviceAccountsAmong: () => new Set<string>(),
    declaredServices: () => {
      throw new Error('cannot be told');
    },
  };
  const worker = new JudgeInWorker(broken, 60_000);
  t.teardown(() => worker.close());
  await t.rejects(worker.judge(JSON.stringify(OBJECTS[0]), 'shop'), { message: 'cannot be told' });
  const wrong = await worker.judge(JSON.stringify(OBJECTS[2]), 'lateral-system');
  t.match(wrong, { errors: [{ code: 'unknown_field' }] }, 'and the next is judged');
});

t.test('a review beside thousands of rules leaves the main thread to others meanwhile', async (t) => {
  const view = cluster();
  const rule = (index: number) => ({ to: [{ operation: { methods: ['GET'], paths: [`/p/${index}/*`] } }] });
  const rules = (from: number, count: number) => Array.from({ length: count }, (_, index) => rule(from + index));
  for (let index = 0; index < 100; index++) {
    const object = resource('AuthorizationPolicy', `p${index}`, { rules: rules(index * 100, 100) });
    const metadata = { ...object.metadata, uid: `p${index}`, resourceVersion: '1', generation: 1 };
    const kind = { ...LATERAL, kind: object.kind, plural: 'authorizationpolicies' };
    const found = meshObjectOf({ ...object, metadata }, kind);
    if (found !== undefined) view.resourceChanged(found.key, found);
  }
  view.refresh();
  const judge = createObjectJudge(view);
  t.teardown(() => judge.close());
  const asked = resource('AuthorizationPolicy', 'z', { rules: rules(5_000, 20) });
  const { result: judgement, others } = await turnsMeanwhile(async () => judge.judge(asked, '127.0.0.1'));
  t.same(judgement, judgeObject(asked, view), 'and says the same');
  t.ok(judgement.warnings.some(({ code }) => code === 'shadowed_rule'));
  t.ok(others >= 5, `${others} turns of others`);
});
