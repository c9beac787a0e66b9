import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { createPolicyDistribution } from '#control-plane/discovery/policy-distribution.ts';
import { createSidecarRegistry } from '#control-plane/discovery/sidecar-registry.ts';
import { ANSWER_LIMIT_MS, SidecarStream } from '#control-plane/discovery/sidecar-stream.ts';
import { createPlaceCounts, SubscriptionPlaces } from '#control-plane/discovery/subscription-places.ts';
import { TURN_LIMIT_MS, UpdateTurns } from '#control-plane/discovery/update-turns.ts';
import type { WorkloadDirectory } from '#control-plane/discovery/workload-directory.ts';
import { createMetrics } from '#control-plane/status/metrics.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import type { KnownResource, SubscribeRequest, Update } from '#proto/gen/lateral/v1/discovery.ts';

const mesh = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const service = (name: string) =>
  resourceDocument({
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'MeshService',
    namespace: 'shop',
    name,
    spec: { hosts: [name], ports: [{ port: 80, protocol: 'http' }], endpoints: [] },
  });

/** Streams that share turns of so few bytes that one update is on its way at a time. */
function streams(workloads?: WorkloadDirectory) {
  let nowMs = 0;
  const distribution = createPolicyDistribution(mesh);
  distribution.publish([service('a')]);
  const context = {
    distribution,
    registry: createSidecarRegistry(),
    mesh,
    metrics: createMetrics(),
    log: () => {},
    now: () => nowMs,
    workloads,
  };
  const turns = new UpdateTurns(() => nowMs, 1);
  const places = new SubscriptionPlaces(createPlaceCounts(), () => nowMs);

  function open(name: string, known: KnownResource[] = []) {
    const updates: Update[] = [];
    const leaving: (() => void)[] = [];
    const stream = new SidecarStream(
      { identity: spiffeId(mesh.trustDomain, 'shop', 'orders'), expiresAtMs: Number.POSITIVE_INFINITY },
      {
        write({ message }, gone) {
          if (message?.$case === 'update') updates.push(message.value);
          if (gone !== undefined) leaving.push(gone);
          return true;
        },
        writableNeedDrain: false,
        getPeer: () => name,
      },
      context,
      { turns, place: places.open('orders') },
      (step) => step(),
    );
    const say = (message: SubscribeRequest['message']) => stream.receive({ message });
    const workload = { name, namespace: 'shop', serviceAccount: 'orders', labels: {}, ports: [] };
    say({ $case: 'hello', value: { workload, knownVersion: '', knownResources: known, sidecarVersion: '' } });
    return {
      stream,
      updates,
      leave: () => leaving.shift()?.(),
      ack: () => say({ $case: 'ack', value: { version: updates.at(-1)?.version ?? '' } }),
      beat: () => say({ $case: 'heartbeat', value: { sequence: 0 } }),
    };
  }
  return { open, distribution, pass: (ms: number) => (nowMs += ms) };
}

t.test('an update that waits for its turn is made then, of what is in force then', async (t) => {
  const { open, distribution } = streams();
  const [first, second] = [open('first'), open('second')];
  t.equal(first.updates.length, 1);
  t.equal(second.updates.length, 0);
  distribution.publish([service('a'), service('b')]);
  first.leave();
  t.equal(second.updates.length, 1);
  t.strictSame(
    second.updates[0]?.upserts.map(({ key }) => key),
    ['MeshService/shop/a', 'MeshService/shop/b'],
  );
  second.ack();
  second.leave();
  t.equal(second.updates.length, 1, 'nothing is sent twice');
});

t.test('a stream that ends gives its turn to the next', async (t) => {
  const { open } = streams();
  const [first, second, third] = [open('first'), open('second'), open('third')];
  second.stream.close();
  first.stream.close();
  t.equal(second.updates.length, 0);
  t.equal(third.updates.length, 1);
});

t.test(
  'a sidecar that does not read holds the others up for a while only, and is ended when no answer comes',
  async (t) => {
    const { open, pass } = streams();
    const [stalled, next] = [open('stalled'), open('next')];
    pass(TURN_LIMIT_MS + 1);
    stalled.stream.beat(Number.POSITIVE_INFINITY);
    t.equal(next.updates.length, 1);
    next.leave();
    next.ack();
    pass(ANSWER_LIMIT_MS);
    next.stream.beat(Number.POSITIVE_INFINITY);
    stalled.beat();
    t.throws(() => stalled.stream.beat(Number.POSITIVE_INFINITY), /neither accepted nor refused in time/);
  },
);

t.test(
  'what a sidecar said it has is not kept once it has been answered: thousands come back after a restart',
  async (t) => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    let tell = () => {};
    const workloads: WorkloadDirectory = {
      resolve(claimed, found) {
        tell = () => found({ kind: 'found', workload: { ...claimed, labels: {} }, addresses: [] });
        tell();
        return () => {};
      },
    };
    const { open } = streams(workloads);
    function connect() {
      const known = [{ key: 'MeshService/shop/gone', version: 'v' }];
      const sidecar = open('first', known);
      t.strictSame(sidecar.updates[0]?.removedKeys, ['MeshService/shop/gone']);
      sidecar.updates.length = 0;
      return { sidecar, known: new WeakRef(known) };
    }
    const { sidecar, known } = connect();
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    t.equal(known.deref(), undefined);
    tell();
    t.equal(sidecar.updates.length, 0, 'its labels may still change');
  },
);
