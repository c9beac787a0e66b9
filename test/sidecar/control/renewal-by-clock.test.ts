import { connect, createServer } from 'node:net';
import t, { type Test } from 'tap';
import type { Clocks } from '#sidecar/control/clocks.ts';
import { CLOCK_CHECK_INTERVAL_MS, waitUntil } from '#sidecar/control/clocks.ts';
import type { ControlPlaneConnection } from '#sidecar/control/connect-control-plane.ts';
import {
  allowPolicy,
  ControlPlaneFixture,
  eventually,
  SidecarFixture,
} from '../../control-plane/control-plane-fixture.ts';
import { portOf } from '../../support/free-ports.ts';

const HOUR_MS = 3_600_000;
/** A renewal has begun and ended by then, also on a busy machine, and where it waits for a connection first. */
const RENEWED_WITHIN_MS = 30_000;
/** Control planes that are looked for have been found by then. */
const HEARTBEAT_MS = 500;

async function controlPlane(t: Test, options: { leafLifetimeMs?: number } = {}) {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start({ heartbeatIntervalMs: HEARTBEAT_MS, ...options });
  t.teardown(() => fixture.stop());
  return fixture;
}

/** Clocks that somebody sets: the wall clock is; the monotonic one only runs ahead, as if time had passed. */
function settableClocks() {
  const ahead = { wallMs: 0, monotonicMs: 0 };
  return {
    now: () => Date.now() + ahead.wallMs,
    monotonicNow: () => performance.now() + ahead.monotonicMs,
    set: (ms: number) => {
      ahead.wallMs += ms;
    },
    pass: (ms: number) => {
      ahead.monotonicMs += ms;
    },
  };
}

async function connected(t: Test, fixture: ControlPlaneFixture, clocks: Clocks, address?: string) {
  const sidecar = new SidecarFixture(fixture);
  const connection = await sidecar.connect({
    tokenFile: await fixture.token(),
    heartbeatIntervalMs: HEARTBEAT_MS,
    ...(address === undefined ? {} : { address }),
    ...clocks,
  });
  t.teardown(() => connection.close());
  await connection.policies.start(async () => {});
  return { sidecar, connection, events: (name: string) => sidecar.events.filter(({ event }) => event === name) };
}

const renewed = ({ renewals }: ControlPlaneConnection, times = 1) =>
  eventually('it is renewed', () => renewals.renewals >= times, RENEWED_WITHIN_MS);

/** Counts the connections to the control plane that go through it. */
async function countingWay(t: Test, port: number) {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    const onward = connect(port, '127.0.0.1');
    socket.pipe(onward).pipe(socket);
    for (const one of [socket, onward]) {
      one.on('error', () => {});
      one.once('close', () => {
        socket.destroy();
        onward.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return { address: `127.0.0.1:${portOf(server)}`, count: () => connections };
}

t.test('a machine that wakes up after hours renews at once, over the connection that is open', async (t) => {
  const fixture = await controlPlane(t);
  const way = await countingWay(t, fixture.port);
  const { set, ...clocks } = settableClocks();
  const { connection, events } = await connected(t, fixture, clocks, way.address);
  await eventually('connected', () => events('control_plane_connected').length === 1);
  const before = way.count();
  const first = connection.credentials.current();
  set(20 * HOUR_MS);
  await renewed(connection);
  t.not(connection.credentials.current().privateKeyPem, first.privateKeyPem);
  await eventually('the stream has moved', () => events('control_plane_connected').length === 2, RENEWED_WITHIN_MS);
  t.equal(way.count(), before + 1, 'one connection: that to which the stream moves');
  t.equal(events('control_plane_lost').length, 0);
  t.match(connection.renewals, { renewals: 1, failure: undefined, failureCount: 0 });
});

t.test(
  'a wall clock that is set back does not put off a renewal that is due by the time that has passed',
  async (t) => {
    const fixture = await controlPlane(t);
    const { set, pass, ...clocks } = settableClocks();
    const { connection } = await connected(t, fixture, clocks);
    set(-5 * HOUR_MS);
    pass(15 * HOUR_MS);
    await renewed(connection);
    t.equal(connection.renewals.failureCount, 0);
  },
);

t.test('a wall clock that is set by hours ends no stream', async (t) => {
  const fixture = await controlPlane(t);
  const { set, pass, ...clocks } = settableClocks();
  const { events, connection } = await connected(t, fixture, clocks);
  const heard = () => fixture.events.length;
  for (const hours of [5, -9, 4]) {
    set(hours * HOUR_MS);
    await new Promise((resolve) => setTimeout(resolve, 3 * HEARTBEAT_MS));
  }
  t.equal(events('control_plane_lost').length, 0);
  t.equal(events('control_plane_connected').length, 1);
  t.equal(connection.renewals.renewals, 0, 'it is not due');
  t.ok(heard() > 0);
  const isLost = () => {
    pass(HOUR_MS); // again and again: a heartbeat may come between this and the look at the clock
    return events('control_plane_lost').length > 0;
  };
  await eventually('silence is measured by the other', isLost, RENEWED_WITHIN_MS);
  t.match(events('control_plane_lost')[0]?.fields, { reason: /silent for \d+ ms, longer than 1500/ });
});

t.test(
  'while the control plane is away the valid certificate is kept, failures are told with both clocks, and it is renewed when that is back',
  async (t) => {
    const fixture = await controlPlane(t);
    const { set, pass: _, ...clocks } = settableClocks();
    const { connection, events } = await connected(t, fixture, clocks);
    const first = connection.credentials.current();
    await fixture.stop();
    set(20 * HOUR_MS);
    await eventually('it has failed', () => events('renewal_failed').length > 1, RENEWED_WITHIN_MS);
    t.equal(connection.credentials.current().certificateChainPem, first.certificateChainPem);
    const [told] = events('renewal_failed');
    t.match(told?.fields, { expiresAt: new Date(first.expiresAtMs).toISOString(), failures: 1, reason: String });
    const clockMs = Date.parse(String(told?.fields['clock']));
    t.ok(Math.abs(clockMs - clocks.now()) < RENEWED_WITHIN_MS, 'the clock by which it is due');
    t.equal(connection.renewals.failure?.code, 'unavailable');
    t.ok((connection.renewals.failures.get('unavailable') ?? 0) >= 1);
    await fixture.start();
    await renewed(connection);
    t.equal(connection.renewals.failure, undefined);
  },
);

t.test('after the end of the certificate, without a token, the failure says what is missing', async (t) => {
  const fixture = await controlPlane(t);
  const { set, pass: _, ...clocks } = settableClocks();
  const stateDirectory = `${fixture.directory}/state-orders`;
  const byToken = new SidecarFixture(fixture);
  const first = await byToken.connect({ tokenFile: await fixture.token(), stateDirectory });
  await first.close();
  const sidecar = new SidecarFixture(fixture);
  const connection = await sidecar.connect({ stateDirectory, ...clocks });
  t.teardown(() => connection.close());
  set(25 * HOUR_MS);
  await eventually('it says so', () => connection.renewals.failure?.code === 'no_proof', RENEWED_WITHIN_MS);
  t.match(sidecar.events.find(({ event }) => event === 'certificate_expired')?.fields, { reason: /no join token/ });
});

t.test(
  'a sidecar that restarts often is renewed no later: what counts is when the certificate was received',
  async (t) => {
    const fixture = await controlPlane(t);
    const { set, pass: _, ...clocks } = settableClocks();
    const stateDirectory = `${fixture.directory}/state-orders`;
    const first = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token(), stateDirectory });
    await first.close();
    set(15 * HOUR_MS);
    const again = await new SidecarFixture(fixture).connect({ stateDirectory, ...clocks });
    t.teardown(() => again.close());
    await renewed(again);
  },
);

t.test('a wait ends when the time is there by either clock, or its time has become another', async (t) => {
  let [wallMs, monotonicMs] = [0, 0];
  const clocks = { now: () => wallMs, monotonicNow: () => monotonicMs };
  const { signal } = new AbortController();
  const isOver = async (wait: Promise<void>) => {
    let over = false;
    void wait.then(() => {
      over = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 10));
    return () => over;
  };
  const waits = CLOCK_CHECK_INTERVAL_MS * 10;
  for (const reach of [
    () => (wallMs += HOUR_MS),
    () => {
      wallMs -= HOUR_MS;
      monotonicMs += HOUR_MS;
    },
  ]) {
    const over = await isOver(waitUntil(() => HOUR_MS, clocks, signal));
    t.notOk(over());
    reach();
    await eventually('it is over', over, waits);
    [wallMs, monotonicMs] = [0, 0];
  }
  let dueMs = HOUR_MS;
  const over = await isOver(waitUntil(() => dueMs, clocks, signal));
  t.notOk(over());
  dueMs = 0;
  await eventually('it is over', over, waits);
});
