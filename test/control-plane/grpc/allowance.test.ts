import t from 'tap';
import { Allowance } from '#control-plane/grpc/allowance.ts';

t.test('so many at once, then one each time that the interval has passed, for each caller', async (t) => {
  let nowMs = 0;
  const allowance = new Allowance({ burst: 3, intervalMs: 1_000, callers: 10 }, () => nowMs);
  const taken = (caller: string, times: number) =>
    Array.from({ length: times }, () => allowance.take(caller)).filter(Boolean).length;
  t.equal(taken('a', 5), 3);
  t.equal(taken('b', 5), 3);
  nowMs += 999;
  t.equal(taken('a', 1), 0);
  nowMs += 1;
  t.equal(taken('a', 2), 1);
  nowMs += 3_600_000;
  t.equal(taken('a', 5), 3, 'never more than at once');
  allowance.giveBack('a');
  t.equal(taken('a', 5), 1);
});
