import t from 'tap';
import { sequenceAfter } from '#control-plane/federation/own-sequence.ts';

t.test('the number of a bundle is the second of its change', async (t) => {
  t.strictSame(sequenceAfter(undefined, 'a', 1_700_000_000_900), { sequence: 1_700_000_000, digest: 'a' });
});

t.test('the same roots keep their number', async (t) => {
  const first = sequenceAfter(undefined, 'a', 5_000);
  t.equal(sequenceAfter(first, 'a', 99_000), first);
});

t.test('others get a greater one, also within a second and with a clock that was set back', async (t) => {
  const first = sequenceAfter(undefined, 'a', 5_000);
  t.strictSame(sequenceAfter(first, 'b', 5_100), { sequence: 6, digest: 'b' });
  t.strictSame(sequenceAfter(first, 'b', 1_000), { sequence: 6, digest: 'b' });
  t.strictSame(sequenceAfter(first, 'b', 60_000), { sequence: 60, digest: 'b' });
});
