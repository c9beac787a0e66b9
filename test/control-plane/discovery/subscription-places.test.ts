import { status } from '@grpc/grpc-js';
import t from 'tap';
import {
  createPlaceCounts,
  MAX_SUBSCRIPTIONS,
  MAX_SUBSCRIPTIONS_OF_IDENTITY,
  MAX_UNNAMED_OF_IDENTITY,
  MIN_REPLACEMENT_INTERVAL_MS,
  type Place,
  SubscriptionPlaces,
} from '#control-plane/discovery/subscription-places.ts';

const ORDERS = 'spiffe://cluster.local/ns/shop/sa/orders';
const WEB = 'spiffe://cluster.local/ns/shop/sa/web';

function setUp() {
  let nowMs = 1_000_000;
  const counts = createPlaceCounts();
  const places = new SubscriptionPlaces(counts, () => nowMs);
  const ended: string[] = [];
  const open = (workload: string, peer = '10.0.0.1:1', { identity = ORDERS, addresses = [''] } = {}): Place => {
    const place = places.open(identity);
    const end = (refusal: Error) => {
      ended.push(`${peer}: ${refusal.message}`);
      place.leave();
    };
    try {
      place.take({ workload, peer, addresses, end });
    } catch (error) {
      place.leave();
      throw error;
    }
    return place;
  };
  return { places, counts, open, ended, pass: (ms: number) => (nowMs += ms) };
}

t.test('of two streams of one workload the newer stays, and the older hears who has its place', async (t) => {
  const { open, ended, counts } = setUp();
  open('shop/orders-1', '10.0.0.1:1');
  open('shop/orders-2', '10.0.0.2:1');
  open('shop/orders-1', '10.0.0.3:1', { identity: WEB });
  t.strictSame(ended, [], 'another name and another identity are others');
  open('shop/orders-1', '10.0.0.4:1');
  t.match(ended, [/^10\.0\.0\.1:1: a newer stream of shop\/orders-1, from 10\.0\.0\.4:1/]);
  t.equal(counts.replaced, 1);
});

t.test('a place changes hands once in a while only, and is free at once when its holder leaves', async (t) => {
  const { open, ended, counts, pass } = setUp();
  open('shop/orders-1', '10.0.0.1:1');
  const second = open('shop/orders-1', '10.0.0.2:1');
  pass(MIN_REPLACEMENT_INTERVAL_MS - 1);
  t.throws(() => open('shop/orders-1', '10.0.0.1:2'), { code: status.ALREADY_EXISTS, message: /two sidecars/ });
  t.equal(counts.refused.workload, 1);
  pass(1);
  const third = open('shop/orders-1', '10.0.0.1:2');
  t.equal(ended.length, 2);
  second.leave();
  third.leave();
  open('shop/orders-1', '10.0.0.2:2');
  t.equal(ended.length, 2, 'it was free');
});

t.test('a stream from the address of its Pod is not ended for one from elsewhere', async (t) => {
  const { open, ended, pass } = setUp();
  const addresses = ['10.0.0.1', 'fd00::1'];
  open('shop/orders-1', '10.0.0.9:1', { addresses });
  open('shop/orders-1', '::ffff:10.0.0.1:1', { addresses });
  t.match(ended, [/^10\.0\.0\.9:1/], 'what came from elsewhere gives way');
  for (const passedMs of [0, 10 * MIN_REPLACEMENT_INTERVAL_MS]) {
    pass(passedMs);
    t.throws(() => open('shop/orders-1', '10.0.0.9:2', { addresses }), {
      code: status.ALREADY_EXISTS,
      message: /10\.0\.0\.9:2 is none of its addresses/,
    });
  }
  open('shop/orders-1', 'fd00::1:77', { addresses });
  t.equal(ended.length, 2, 'its own newer stream has the place');
});

t.test('a name that only its owner vouches for takes no place from anybody', async (t) => {
  const { places, open, counts, ended } = setUp();
  const shared = Array.from({ length: MAX_UNNAMED_OF_IDENTITY + 1 }, () => {
    const place = places.open(ORDERS);
    place.share();
    return place;
  });
  open('shop/orders-1');
  for (const place of shared) place.leave();
  t.strictSame(ended, []);
  t.equal(counts.refused.total + counts.refused.identity + counts.refused.unnamed, 0);
});

t.test('an identity that has taken all it may leaves room for others', async (t) => {
  const { open, counts } = setUp();
  const held = Array.from({ length: MAX_SUBSCRIPTIONS_OF_IDENTITY }, (_, index) => open(`shop/o-${index}`));
  t.throws(() => open('shop/one-more'), {
    code: status.RESOURCE_EXHAUSTED,
    message: /5000 subscriptions of spiffe:.*sa\/orders are served/,
  });
  open('shop/web-1', '10.0.0.1:1', { identity: WEB });
  held[0]?.leave();
  held[0]?.leave();
  open('shop/one-more');
  t.throws(() => open('shop/and-another'), { code: status.RESOURCE_EXHAUSTED });
  t.equal(counts.refused.identity, 2);
});

t.test('streams that do not say who they are are few, and there is a bound of all', async (t) => {
  const { places, open, counts } = setUp();
  const silent = Array.from({ length: MAX_UNNAMED_OF_IDENTITY }, () => places.open(ORDERS));
  t.throws(() => places.open(ORDERS), { code: status.RESOURCE_EXHAUSTED, message: /have yet to say/ });
  for (const place of silent) place.leave();
  for (let index = 0; index < MAX_SUBSCRIPTIONS; index += 1) {
    open('shop/a', '10.0.0.1:1', { identity: `spiffe://cluster.local/ns/shop/sa/s${index}` });
  }
  t.throws(() => places.open(ORDERS), { code: status.RESOURCE_EXHAUSTED, message: /10000 subscriptions are served/ });
  t.match(counts.refused, { total: 1, unnamed: 1, identity: 0, workload: 0 });
});
