import t from 'tap';
import {
  MAX_WAIT_MS,
  MAX_WAITING_CHARACTERS,
  MAX_WAITING_OF_ADDRESS,
  ReviewQueue,
  TooManyReviews,
} from '#control-plane/webhook/review-queue.ts';

const BUDGET = { burstMs: 100, share: 0.5 };

/** A queue whose clock stands still but for the work that is done. */
function queueOf(budget = BUDGET) {
  let nowMs = 0;
  const done: string[] = [];
  const queue = new ReviewQueue(budget, () => nowMs);
  /** Between turns: within one it would be the address's. */
  const pause = async (ms: number) => {
    await new Promise((resolve) => setImmediate(resolve));
    nowMs += ms;
  };
  const pass = (ms: number) => {
    nowMs += ms;
  };
  const run = (address: string, name: string, ms = 1, characters = 1) =>
    queue.run(address, characters, () => {
      pass(ms);
      done.push(name);
    });
  return { done, pause, run };
}

t.test('one piece of work at a time, of each address in turn', async (t) => {
  const { done, run } = queueOf();
  await Promise.all([run('a', 'a1'), run('a', 'a2'), run('a', 'a3'), run('b', 'b1'), run('c', 'c1')]);
  t.same(done, ['a1', 'b1', 'c1', 'a2', 'a3']);

  const queue = new ReviewQueue(BUDGET);
  let running = 0;
  const work = async () => {
    running += 1;
    t.equal(running, 1);
    await new Promise((resolve) => setTimeout(resolve, 2));
    running -= 1;
    return 'done';
  };
  t.same(await Promise.all(['a', 'b', 'a'].map((address) => queue.run(address, 1, work))), ['done', 'done', 'done']);
  await t.rejects(
    queue.run('a', 1, () => {
      throw new Error('broken');
    }),
    { message: 'broken' },
  );
  t.equal(await queue.run('a', 1, () => 7), 7, 'and goes on');
});

t.test('between two pieces of work others have their turn', async (t) => {
  const { done, run } = queueOf();
  const turns = [run('a', 'a1'), run('a', 'a2')];
  setImmediate(() => done.push('other'));
  await Promise.all(turns);
  t.same(done, ['a1', 'other', 'a2']);
});

t.test('an address that has used up its time waits, and others do not', async (t) => {
  const { done, pause, run } = queueOf();
  await run('pod', 'long', 150);
  const late = run('pod', 'late');
  await run('server', 'first');
  await run('server', 'second');
  t.same(done, ['long', 'first', 'second']);
  await pause(90); // of the 50 ms that were too many, a share of a half brings back 45
  await run('server', 'third');
  t.notOk(done.includes('late'), 'there is nothing left yet');
  await pause(20);
  await run('server', 'fourth');
  await late;
  t.ok(done.includes('late'));
});

t.test('what waits too long is refused, and so is what is too much', async (t) => {
  const { done, run } = queueOf({ burstMs: 100, share: 0.001 });
  await run('pod', 'long', 200);
  const startMs = performance.now();
  const waiting = Array.from({ length: MAX_WAITING_OF_ADDRESS }, (_, index) => run('pod', `w${index}`));
  const settled = Promise.allSettled(waiting);
  await t.rejects(run('pod', 'too many'), new TooManyReviews('more than 32 reviews of pod wait; try again'));
  await run('server', 'fine');
  const outcomes = await settled;
  t.ok(outcomes.every(({ status }) => status === 'rejected'));
  t.match(outcomes[0], { reason: new TooManyReviews('no turn within 4000 ms: pod asks for too much; try again') });
  t.ok(performance.now() - startMs >= MAX_WAIT_MS - 10);
  t.same(done, ['long', 'fine']);
});

t.test('beyond the bound of memory the address with the most loses its latest', async (t) => {
  const { done, run } = queueOf();
  const third = MAX_WAITING_CHARACTERS / 3;
  const kept = [run('pod', 'p1', 1, third), run('server', 's1', 1, third / 2)];
  const lost = run('pod', 'p2', 1, third);
  lost.catch(() => {});
  kept.push(run('server', 's2', 1, third));
  await t.rejects(lost, { message: /characters wait, most of them of pod; try again/ });
  await Promise.all(kept);
  t.same(done, ['p1', 's1', 's2']);
});
