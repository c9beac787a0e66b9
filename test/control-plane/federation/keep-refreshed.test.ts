import t from 'tap';
import { intervalOf, REFRESH_LIMITS } from '#control-plane/federation/keep-refreshed.ts';

t.test('an endpoint is asked as often as it hints, between a minute and a day', async (t) => {
  t.equal(intervalOf(600, REFRESH_LIMITS), 600_000);
  t.equal(intervalOf(0, REFRESH_LIMITS), 60_000);
  t.equal(intervalOf(1, REFRESH_LIMITS), 60_000);
  t.equal(intervalOf(Number(9_999_999_999_999_999_999n), REFRESH_LIMITS), 86_400_000);
  t.equal(intervalOf(undefined, REFRESH_LIMITS), 300_000);
});
