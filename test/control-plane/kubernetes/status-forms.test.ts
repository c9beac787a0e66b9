import t from 'tap';
import { conditionsOf, workloadsOf } from '#control-plane/kubernetes/status/conditions.ts';
import type { StatusFields } from '#control-plane/kubernetes/status/status-form.ts';
import { STATUS_FORMS } from '#control-plane/kubernetes/status/status-forms.ts';
import type { ProgrammedCount } from '#control-plane/replicas/programmed-counts.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { MESH } from '../control-plane-fixture.ts';
import { TestCluster } from './cluster-fixture.ts';

const ISTIO = 'security.istio.io';
const ROUTES = 'gateway.networking.k8s.io';
const BEFORE = '2026-01-01T00:00:00Z';
const NOW = '2026-02-02T00:00:00Z';
const ORDERS = { group: '', kind: 'Service', name: 'orders' };
const EDGE = { group: ROUTES, kind: 'Gateway', name: 'edge' };

/** What would be written into the status of an object of the cluster. */
function written(cluster: TestCluster, key: string, standing: StatusFields = {}): StatusFields | undefined {
  cluster.state.refresh();
  const judged = cluster.state.resources.get(key);
  if (judged === undefined) throw new Error(`no ${key}`);
  const workloads = workloadsOf(judged, cluster.state);
  const conditions = conditionsOf(judged, [], workloads, MESH.rootNamespace);
  if (conditions === undefined) throw new Error(`${key} is not judged`);
  return STATUS_FORMS[judged.object.group]?.({ judged, conditions, workloads: workloads?.meshed }, standing, NOW);
}

/** TYPE STATUS REASON TIME of each condition. */
function shown(conditions: unknown): readonly string[] {
  if (!Array.isArray(conditions)) throw new Error('no conditions');
  return conditions.map((one) => [one.type, one.status, one.reason, one.lastTransitionTime].join(' '));
}

t.test('Istio reads ours beside its own, which stay where they stood', async (t) => {
  const cluster = new TestCluster();
  const key = cluster.resource('AuthorizationPolicy', 'a', { rules: [{}] }, { group: ISTIO });
  const theirs = { type: 'ZtunnelAccepted', status: 'True', reason: 'Accepted', observedGeneration: '1' };
  const odd = 'not a condition';
  const ours = { type: 'lateral.dev/Accepted', status: 'True', reason: 'old', lastTransitionTime: BEFORE };
  const turned = { type: 'lateral.dev/Programmed', status: 'True', lastTransitionTime: BEFORE };
  const status = written(cluster, key, { conditions: [ours, theirs, odd, turned] });
  t.strictSame(Object.keys(status ?? {}), ['conditions'], "nothing else is Istio's to have of us");
  const conditions = Array.isArray(status?.conditions) ? status.conditions : [];
  t.strictSame([conditions[1], conditions[2]], [theirs, odd]);
  t.strictSame(shown([conditions[0], ...conditions.slice(3)]), [
    `lateral.dev/Accepted True Accepted ${BEFORE}`,
    `lateral.dev/Programmed Unknown NoSidecar ${NOW}`,
    `lateral.dev/MatchedWorkloads False NoWorkload ${NOW}`,
  ]);
  t.strictSame(written(cluster, key, status), status, 'said once, there is nothing more to say');
});

t.test('what is no longer said of a resource goes, and no condition of ours stands there twice', async (t) => {
  const cluster = new TestCluster();
  const spec = { targetRefs: [{ name: 'edge' }], jwtRules: 1 };
  const key = cluster.resource('RequestAuthentication', 'jwt', spec, { group: ISTIO });
  const conditions = ['Accepted', 'Accepted', 'MatchedWorkloads'].map((type) => ({ type: `lateral.dev/${type}` }));
  t.strictSame(shown(written(cluster, key, { conditions })?.conditions), [
    `lateral.dev/Accepted False Invalid ${NOW}`,
    `lateral.dev/Programmed False NotAccepted ${NOW}`,
  ]);
});

t.test(
  'of a broken resource of ours the last good spec stays in the status; of one that is mended it goes',
  async (t) => {
    const cluster = new TestCluster();
    const good = { rules: [{}] };
    cluster.resource('AuthorizationPolicy', 'a', good);
    cluster.state.refresh();
    const key = cluster.resource('AuthorizationPolicy', 'a', { action: 'ALOW' });
    t.match(written(cluster, key), { lastGoodSpec: JSON.stringify(good), workloads: 0, observedGeneration: 2 });
    cluster.resource('AuthorizationPolicy', 'a', good);
    t.match(written(cluster, key), { lastGoodSpec: null });
    const restarted = new TestCluster();
    const status = { lastGoodSpec: JSON.stringify(good) };
    restarted.resource('AuthorizationPolicy', 'a', { action: 'ALOW' }, { status });
    restarted.resource('AuthorizationPolicy', 'theirs', { action: 'ALOW' }, { status, group: ISTIO });
    t.strictSame(
      restarted.inForce(),
      {
        'AuthorizationPolicy/shop/a': good,
        'AuthorizationPolicy/shop/theirs': { action: 'DENY', rules: [{}] },
      },
      'in a status that is not ours alone nobody can leave us a policy',
    );
  },
);

t.test('a route has an entry of ours for each parent that is a Service, and those of others stay', async (t) => {
  const cluster = new TestCluster();
  const spec = { parentRefs: [EDGE, ORDERS, { name: 'edge' }, { ...ORDERS, port: 80 }, { ...ORDERS, group: 'x' }] };
  for (const kind of ['HTTPRoute', 'GRPCRoute']) {
    const key = cluster.resource(kind, 'r', spec, { group: ROUTES });
    const gateway = { parentRef: EDGE, controllerName: 'example.com/edge', conditions: [{ type: 'Accepted' }] };
    const mesh = { parentRef: ORDERS, controllerName: 'example.com/mesh', conditions: [] };
    const condition = { type: 'Accepted', status: 'False', lastTransitionTime: BEFORE };
    const former = {
      parentRef: { ...ORDERS, name: 'gone' },
      controllerName: 'lateral.dev/mesh',
      conditions: [condition],
    };
    const ours = { parentRef: ORDERS, controllerName: 'lateral.dev/mesh', conditions: [condition] };
    const status = written(cluster, key, { parents: [former, gateway, ours, mesh] });
    t.strictSame(Object.keys(status ?? {}), ['parents']);
    const parents = Array.isArray(status?.parents) ? status.parents : [];
    t.equal(parents.length, 4);
    t.strictSame([parents[0], parents[2]], [gateway, mesh]);
    t.match(parents[1], { parentRef: ORDERS, controllerName: 'lateral.dev/mesh' });
    t.match(parents[3], { parentRef: { ...ORDERS, port: 80 }, controllerName: 'lateral.dev/mesh' });
    const reasons = (time: string) => [
      `Accepted False NotSupported ${time}`,
      `ResolvedRefs Unknown NotSupported ${NOW}`,
    ];
    t.strictSame(shown(parents[1].conditions), reasons(BEFORE));
    t.strictSame(shown(parents[3].conditions), reasons(NOW));
    t.match(parents[1].conditions[0].message, new RegExp(`not_implemented kind: ${kind} is not yet supported`));
    t.strictSame(written(cluster, key, status), status, 'said once, there is nothing more to say');
  }
});

t.test('a route of Gateways alone is not ours; one that was is left again', async (t) => {
  const cluster = new TestCluster();
  for (const spec of [{ parentRefs: [EDGE] }, {}, { parentRefs: 'x' }]) {
    const key = cluster.resource('HTTPRoute', 'r', spec, { group: ROUTES });
    t.equal(written(cluster, key), undefined);
    const gateway = { parentRef: EDGE, controllerName: 'example.com/edge', conditions: [] };
    t.strictSame(written(cluster, key, { parents: [gateway] }), { parents: [gateway] });
    const ours = { parentRef: ORDERS, controllerName: 'lateral.dev/mesh', conditions: [] };
    t.strictSame(written(cluster, key, { parents: [ours, gateway] }), { parents: [gateway] });
  }
});

t.test('where entries of others fill the status of a route there is none of ours', async (t) => {
  const cluster = new TestCluster();
  const parentRefs = [ORDERS, { ...ORDERS, port: 80 }];
  const key = cluster.resource('HTTPRoute', 'r', { parentRefs }, { group: ROUTES });
  const others = Array.from({ length: 31 }, (_, index) => ({ controllerName: `example.com/${index}` }));
  const controllers = (standing: readonly StatusFields[]) => {
    const status = written(cluster, key, { parents: standing });
    const parents: unknown = status?.parents;
    if (!Array.isArray(parents)) throw new Error('no parents');
    return parents.map((entry: unknown) => (isRecord(entry) ? entry.controllerName : undefined));
  };
  const names = others.map(({ controllerName }) => controllerName);
  t.strictSame(controllers(others), [...names, 'lateral.dev/mesh']);
  t.strictSame(controllers([...others, { controllerName: 'x/y' }]), [...names, 'x/y']);
});

t.test('what a control plane does not answer for is not said to be in force everywhere', async (t) => {
  const cluster = new TestCluster();
  const key = cluster.resource('AuthorizationPolicy', 'a', { rules: [{}] });
  cluster.state.refresh();
  const judged = cluster.state.resources.get(key);
  if (judged?.inForce === undefined) throw new Error('not in force');
  const count = { ...judged.inForce, bound: 2, acked: 2, nacked: 0, refusedBy: [] };
  const programmed = (counts: readonly ProgrammedCount[], silent: number) => {
    const all = conditionsOf(judged, counts, undefined, MESH.rootNamespace, silent) ?? [];
    const { status, reason, message } = all.find(({ type }) => type === 'Programmed') ?? {};
    return `${status} ${reason} ${message}`;
  };
  t.match(programmed([count], 0), /^True Programmed 2 of 2/);
  t.match(programmed([count], 1), /^Unknown ReplicaSilent 2 of 2 .* Nothing is known of the sidecars of 1 more/);
  t.match(programmed([], 1), /^Unknown ReplicaSilent 0 of 0/);
  t.match(programmed([{ ...count, acked: 1 }], 1), /^False Pending 1 of 2/, 'what is known to lack it is said first');
});

t.test("what another has already, or what is another's, is Conflicted", async (t) => {
  const cluster = new TestCluster();
  const endpoints = [{ address: '10.0.0.1', port: 1, plaintext: true }];
  const accepted = (key: string) => shown(written(cluster, key)?.conditions)[0];
  cluster.resource('MeshService', 'a', { hosts: ['api.example.com'], endpoints });
  const taken = cluster.resource('MeshService', 'b', { hosts: ['api.example.com'], endpoints });
  t.equal(accepted(taken), `Accepted False Conflicted ${NOW}`);
  const foreign = cluster.resource('MeshService', 'c', { hosts: ['api.lateral-system'], endpoints });
  t.equal(accepted(foreign), `Accepted False Conflicted ${NOW}`);
  const wrong = cluster.resource('MeshService', 'd', { hosts: ['x y'], endpoints });
  t.equal(accepted(wrong), `Accepted False Invalid ${NOW}`);
});
