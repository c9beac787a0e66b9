import t from 'tap';
import { createPolicyDistribution } from '#control-plane/discovery/policy-distribution.ts';
import { Subscription } from '#control-plane/discovery/subscription.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import type { Update } from '#proto/gen/lateral/v1/discovery.ts';

const mesh = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const NAMESPACES = 10;
const SIDECARS = 200;

const document = (kind: string, namespace: string, name: string, spec: unknown) =>
  resourceDocument({ apiVersion: 'lateral.dev/v1alpha1', kind, namespace, name, spec });
const service = (name: string, hosts = [name]) => document('MeshService', 'shop', name, { hosts });
const policy = (namespace: string, app: string | undefined, path = '/') =>
  document('AuthorizationPolicy', namespace, app ?? 'all', {
    ...(app === undefined ? {} : { selector: { matchLabels: { app } } }),
    rules: [{ to: [{ operation: { paths: [path] } }] }],
  });
const schema = (namespace: string, version: string) =>
  document('APISchema', namespace, 'api', {
    openapi: { inline: JSON.stringify({ openapi: '3.1.0', info: { title: 't', version }, paths: {} }) },
  });
const validation = document('APIValidationPolicy', 'ns-1', 'api', {
  selector: { matchLabels: { app: 'a11' } },
  schemaRefs: ['api'],
});

/** Sidecars of many namespaces that acknowledge what they get, and what their part of each change costs. */
function setUp() {
  const distribution = createPolicyDistribution(mesh);
  let selections = 0;
  const counting = {
    ...distribution,
    snapshotFor: (workload: Parameters<typeof distribution.snapshotFor>[0]) => {
      selections += 1;
      return distribution.snapshotFor(workload);
    },
  };
  const told: string[] = [];
  const updates: { readonly name: string; readonly update: Update }[] = [];
  const labelled = (app: string) => ({ namespace: `ns-${Number(app.slice(1)) % NAMESPACES}`, labels: { app } });

  function connect(name: string, workload: { namespace: string; labels: { [key: string]: string } }) {
    const identity = { ...workload, name, serviceAccount: name };
    const hello = {
      workload: undefined,
      knownVersion: '',
      knownResources: [],
      sidecarVersion: '',
      controlPlaneKinds: [],
      takesParts: false,
      heldDocuments: [],
    };
    const waiting: Update[] = [];
    const outlet = {
      send: (update: Update) => {
        updates.push({ name, update });
        waiting.push(update);
      },
      awaitTurn: (go: () => void) => go(),
    };
    const subscription = new Subscription(hello, identity, counting, outlet, () => 0);
    const stop = counting.follow(identity, () => {
      told.push(name);
      subscription.changed();
    });
    const answer = () => {
      for (let update = waiting.shift(); update !== undefined; update = waiting.shift())
        subscription.ack(update.version);
    };
    subscription.offer();
    answer();
    return { subscription, stop, answer };
  }

  const all = () => Array.from({ length: SIDECARS }, (_, index) => connect(`a${index}`, labelled(`a${index}`)));
  function publish(resources: Parameters<typeof distribution.publish>[0]) {
    selections = 0;
    told.length = 0;
    updates.length = 0;
    distribution.publish(resources);
    return { told: [...told], updated: updates.map(({ name }) => name), selections };
  }
  return { distribution, connect, all, publish, labelled, updates };
}

t.test('a change of one workload is neither told nor selected for any other', async (t) => {
  const { all, publish, distribution } = setUp();
  const others = Array.from({ length: SIDECARS }, (_, index) => policy(`ns-${index % NAMESPACES}`, `a${index}`));
  distribution.publish([service('s'), ...others]);
  const sidecars = all();
  const rest = others.slice(1);
  t.strictSame(publish([service('s'), policy('ns-0', 'a0', '/other'), ...rest]), {
    told: ['a0'],
    updated: ['a0'],
    selections: 1,
  });
  for (const { answer } of sidecars) answer();
  t.match(publish([service('s'), ...rest]), { told: ['a0'], updated: ['a0'] }, 'a policy that goes');
  for (const { answer } of sidecars) answer();
  t.match(publish([service('s'), ...rest, policy('ns-3', undefined)]), { updated: { length: SIDECARS / NAMESPACES } });
  for (const { answer } of sidecars) answer();
  const [same, nothing] = [[...rest, policy('ns-3', undefined)], { told: [], updated: [], selections: 0 }];
  t.strictSame(publish([service('s'), ...same]), nothing, 'equal documents, though others');
  const bound = sidecars.map(({ subscription }) => subscription.snapshots);
  for (const { target, inForce } of bound) t.equal(target, inForce, 'what is due is what is in force');
});

t.test('what concerns all reaches all: a Service, a policy of the root namespace', async (t) => {
  const { all, publish, distribution, updates } = setUp();
  distribution.publish([service('s')]);
  const sidecars = all();
  t.match(publish([service('s', ['other'])]), { updated: { length: SIDECARS } });
  for (const { update } of updates)
    t.strictSame(
      update.upserts.map(({ key }) => key),
      ['MeshService/shop/s'],
    );
  for (const { answer } of sidecars) answer();
  t.match(publish([service('s', ['other']), policy('lateral-system', undefined)]), { updated: { length: SIDECARS } });
  for (const { answer } of sidecars) answer();
  const narrow = [service('s', ['other']), policy('lateral-system', undefined), policy('lateral-system', 'a7')];
  t.match(publish(narrow), { told: ['a7'], updated: ['a7'], selections: 1 });
});

t.test('a schema concerns those whose policies name it, when it comes, changes or goes', async (t) => {
  const { all, publish, distribution } = setUp();
  distribution.publish([service('s'), validation]);
  const sidecars = all();
  for (const resources of [[schema('ns-1', '1')], [schema('ns-1', '2')], []]) {
    t.match(publish([service('s'), validation, ...resources]), { told: ['a11'], updated: ['a11'], selections: 1 });
    for (const { answer } of sidecars) answer();
  }
  const unnamed = publish([service('s'), validation, schema('ns-2', '1')]);
  t.strictSame(unnamed, { told: [], updated: [], selections: 0 }, 'one that nobody names');
});

t.test('a workload is told by the labels it has now, and not at all once it has left', async (t) => {
  const { connect, publish, distribution } = setUp();
  distribution.publish([service('s')]);
  const [left, stays] = [
    connect('left', { namespace: 'ns-1', labels: {} }),
    connect('stays', { namespace: 'ns-1', labels: {} }),
  ];
  left.stop();
  t.match(publish([service('s'), policy('ns-1', undefined)]), { told: ['stays'] });
  stays.answer();
  stays.stop();
  t.match(publish([service('s')]), { told: [] });
  stays.subscription.workload = { ...stays.subscription.workload, labels: { app: 'a1' } };
  t.equal(stays.subscription.pendingVersion, distribution.snapshotFor(stays.subscription.workload).version);
});

t.test('those that leave while another is told are not told', async (t) => {
  const { distribution } = setUp();
  const told: string[] = [];
  const stops = ['a', 'b'].map((name) =>
    distribution.follow({ namespace: 'shop', serviceAccount: name, labels: {} }, () => {
      told.push(name);
      for (const stop of stops) stop();
    }),
  );
  distribution.publish([service('s')]);
  t.strictSame(told, ['a']);
});
