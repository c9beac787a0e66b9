import t from 'tap';
import { age, plain, table } from '#cli/operations/table.ts';

t.test('columns are as wide as their longest cell', async (t) => {
  t.equal(
    table([
      ['NAME', 'STATE', 'FROM'],
      ['orders-7d9f', 'current', ''],
      ['web', 'refused', '10.0.0.7:1'],
    ]),
    'NAME         STATE    FROM\norders-7d9f  current\nweb          refused  10.0.0.7:1\n',
  );
});

t.test('ages have one unit', async (t) => {
  const nowMs = Date.parse('2026-01-10T00:00:00Z');
  for (const [since, shown] of [
    ['2026-01-09T23:59:15Z', '45s'],
    ['2026-01-09T23:00:00Z', '60m'],
    ['2026-01-09T20:00:00Z', '4h'],
    ['2026-01-01T00:00:00Z', '9d'],
    ['2026-01-10T00:00:05Z', '0s'],
    ['', ''],
  ] as const) {
    t.equal(age(since, nowMs), shown);
  }
});

t.test('text of others neither steers the terminal nor begins a line', async (t) => {
  t.equal(plain('a\u001b[2Jb\nc\u202ed\u2028e'), 'a\\u001b[2Jb\\u000ac\\u202ed\\u2028e');
  t.equal(plain('Grüße, 世界'), 'Grüße, 世界');
});
