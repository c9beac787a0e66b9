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
import type { KnownResource, SubscribeRequest, Update, Vitals } from '#proto/gen/lateral/v1/discovery.ts';
import { MAX_PLAINTEXT_CALLERS, MAX_TRUSTED_ROOTS } from '#proto/vitals-limits.ts';

const mesh = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const service = (name: string) =>
  resourceDocument({
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'MeshService',
    namespace: 'shop',
    name,
    spec: { hosts: [name], ports: [{ port: 80, protocol: 'http' }], endpoints: [] },
  });

const VITALS: Vitals = {
  certificateExpiresAtMs: 0,
  certificateSerial: '',
  lastRenewalAtMs: 0,
  renewalFailures: 0,
  failureCode: '',
  failureReason: '',
  failedAtMs: 0,
  trustedRoots: [],
  plaintextCallers: [],
};
const HOUR_MS = 3_600_000;
const SILENCE_MS = 15_000;

/** Streams that share turns of so few bytes that one update is on its way at a time. */
function streams(workloads?: WorkloadDirectory) {
  let nowMs = 0;
  let setByMs = 0;
  const distribution = createPolicyDistribution(mesh);
  distribution.publish([service('a')]);
  const context = {
    distribution,
    registry: createSidecarRegistry(),
    mesh,
    metrics: createMetrics(),
    log: () => {},
    now: () => nowMs + setByMs,
    monotonicNow: () => nowMs,
    workloads,
  };
  const turns = new UpdateTurns(() => nowMs, 1);
  const places = new SubscriptionPlaces(createPlaceCounts(), () => nowMs);

  function open(name: string, known: KnownResource[] = [], expiresAtMs = Number.POSITIVE_INFINITY) {
    const updates: Update[] = [];
    const leaving: (() => void)[] = [];
    const stream = new SidecarStream(
      { identity: spiffeId(mesh.trustDomain, 'shop', 'orders'), expiresAtMs },
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
    say({
      $case: 'hello',
      value: {
        workload,
        knownVersion: '',
        knownResources: known,
        sidecarVersion: '',
        controlPlaneKinds: [],
        takesParts: false,
        heldDocuments: [],
      },
    });
    return {
      stream,
      updates,
      leave: () => leaving.shift()?.(),
      ack: () => say({ $case: 'ack', value: { version: updates.at(-1)?.version ?? '' } }),
      vitals: (value: Partial<Vitals>) => say({ $case: 'vitals', value: { ...VITALS, ...value } }),
      beat: () => say({ $case: 'heartbeat', value: { sequence: 0 } }),
    };
  }
  return {
    open,
    distribution,
    registry: context.registry,
    pass: (ms: number) => (nowMs += ms),
    /** Somebody sets the wall clock. */
    setClockBy: (ms: number) => (setByMs += ms),
  };
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
      ownerOf: () => undefined,
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

for (const hours of [5, -5]) {
  t.test(`a wall clock that is set by ${hours} hours ends no stream and gives no turn away`, async (t) => {
    const { open, setClockBy, pass } = streams();
    const [first, second] = [open('first'), open('second')];
    setClockBy(hours * HOUR_MS);
    pass(SILENCE_MS - 1);
    first.beat();
    pass(1);
    first.stream.beat(SILENCE_MS);
    t.throws(() => {
      pass(1);
      second.stream.beat(SILENCE_MS);
    }, /silent for 15001 ms, longer than 15000/);
  });
}

t.test('a certificate that has ended by the wall clock ends its stream, however little time has passed', async (t) => {
  const { open, setClockBy } = streams();
  const { stream } = open('first', [], HOUR_MS);
  stream.beat(SILENCE_MS);
  setClockBy(HOUR_MS);
  t.throws(() => stream.beat(SILENCE_MS), /certificate of the connection has expired/);
});

t.test('what a sidecar says of itself is shown, and no more of it kept than has a bound', async (t) => {
  const { open, registry } = streams();
  const sidecar = open('first');
  t.equal(registry.sidecars[0]?.vitals, undefined, 'an older sidecar says nothing');
  sidecar.vitals({ failureCode: 'unavailable', failureReason: 'x'.repeat(10_000), certificateExpiresAtMs: HOUR_MS });
  t.match(registry.sidecars[0]?.vitals, { failureCode: 'unavailable', certificateExpiresAtMs: HOUR_MS });
  t.equal(registry.sidecars[0]?.vitals?.failureReason.length, 500);
  const caller = { address: 'a'.repeat(1_000), port: 80, connections: 1, lastSeenMs: 1 };
  sidecar.vitals({
    trustedRoots: Array.from({ length: 1_000 }, () => 'f'.repeat(1_000)),
    plaintextCallers: Array.from({ length: 1_000 }, () => caller),
  });
  const kept = registry.sidecars[0]?.vitals;
  t.equal(kept?.failureCode, '');
  t.equal(kept?.trustedRoots.length, MAX_TRUSTED_ROOTS);
  t.equal(kept?.plaintextCallers.length, MAX_PLAINTEXT_CALLERS);
  t.ok(JSON.stringify(kept).length < 16_384);
});
