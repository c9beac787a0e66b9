import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { SigningTurns } from '#control-plane/authority/signing-turns.ts';

t.test('a crowd gets its turns in order, few at a time, and others get theirs in between', async (t) => {
  const turns = new SigningTurns();
  const begun: number[] = [];
  const all = Promise.all(Array.from({ length: 100 }, (_, index) => turns.take().then(() => begun.push(index))));
  let most = 0;
  for (let before = 0; begun.length < 100; before = begun.length) {
    await turn();
    most = Math.max(most, begun.length - before);
  }
  await all;
  t.strictSame(
    begun,
    Array.from({ length: 100 }, (_, index) => index),
  );
  t.ok(most <= 8, `${most} in one turn`);
  await turns.take();
  t.pass('and the next one after a crowd');
});
