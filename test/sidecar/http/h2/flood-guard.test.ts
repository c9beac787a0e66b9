import t from 'tap';
import { FLOOD_ALLOWANCE, FLOOD_COSTS, FLOOD_REFILL_PER_SECOND, FloodGuard } from '#sidecar/http/h2/flood-guard.ts';
import { ENHANCE_YOUR_CALM } from '#sidecar/http/h2/frame.ts';
import { ResetMemory } from '#sidecar/http/h2/reset-memory.ts';

/** How many events pass at this moment, until there is no allowance left. */
function passing(guard: FloodGuard, event: keyof typeof FLOOD_COSTS, now: number): number {
  for (let count = 0; count < 2 * FLOOD_ALLOWANCE; count++) {
    try {
      guard.note(event, now);
    } catch {
      return count;
    }
  }
  return Number.POSITIVE_INFINITY;
}

t.test('each kind of event has its allowance, and no more, whenever the connection began', async (t) => {
  for (const [event, cost] of Object.entries(FLOOD_COSTS)) {
    if (!isEvent(event)) throw new Error(event);
    for (const now of [0, 1, 1e9])
      t.equal(passing(new FloodGuard(), event, now), Math.floor(FLOOD_ALLOWANCE / cost), `${event} at ${now}`);
  }
});

t.test('a flood is told as what it is, with the limit', async (t) => {
  const guard = new FloodGuard();
  passing(guard, 'ping', 0);
  t.throws(() => guard.note('ping', 0), {
    code: ENHANCE_YOUR_CALM,
    message: /a ping .*floodAllowance 8192, 1000 a second/,
  });
});

t.test('the allowance grows again with time, up to what it was', async (t) => {
  const guard = new FloodGuard();
  guard.note('reset', 0);
  for (let second = 1; second < 600; second++) {
    for (let count = 0; count < FLOOD_REFILL_PER_SECOND; count++) guard.note('reset', second * 1_000);
  }
  t.pass(`${FLOOD_REFILL_PER_SECOND} a second may go on for ever`);
  const rested = new FloodGuard();
  passing(rested, 'reset', 0);
  t.equal(passing(rested, 'reset', 3_600_000), FLOOD_ALLOWANCE + 1, 'an hour gives no more than the beginning');
});

t.test('what was done for the peer is forgiven, up to what it was', async (t) => {
  const guard = new FloodGuard();
  for (let count = 0; count < FLOOD_ALLOWANCE; count++) guard.note('reset', 0);
  guard.forgive(10);
  for (let count = 0; count < 10; count++) guard.note('reset', 0);
  t.throws(() => guard.note('reset', 0));
  guard.forgive(1e9);
  t.equal(passing(guard, 'reset', 0), FLOOD_ALLOWANCE);
});

t.test(
  'streams that were reset are remembered; of those forgotten the peer has the benefit of the doubt',
  async (t) => {
    const memory = new ResetMemory();
    t.notOk(memory.has(1));
    for (let id = 1; id < 20_000; id += 2) memory.remember(id);
    t.ok(memory.has(19_999));
    t.ok(memory.has(1));
    t.notOk(memory.has(20_001));
    t.notOk(memory.has(19_998));
  },
);

function isEvent(name: string): name is keyof typeof FLOOD_COSTS {
  return name in FLOOD_COSTS;
}
