import t from 'tap';
import { runInSlices, SLICE_MS } from '#files/run-in-slices.ts';

t.test('others have their turns while steps are taken, and the result is theirs', async (t) => {
  const STEPS = 100;
  let taken = 0;
  function* steps(): Generator<void, string> {
    for (; taken < STEPS; taken++) {
      const end = performance.now() + 1;
      while (performance.now() < end); // a step that takes a millisecond
      yield;
    }
    return 'done';
  }
  const seen: number[] = [];
  const look = () => {
    seen.push(taken);
    if (taken < STEPS) setImmediate(look);
  };
  setImmediate(look);
  t.equal(await runInSlices(steps()), 'done');
  t.ok(seen.length >= STEPS / SLICE_MS / 2, `${seen.length} turns`);
});
