import t from 'tap';
import { allDomainsOf, allNamesOf } from '#policy/authorization/all-names-of.ts';

const OWN = { names: ['new.example', 'old.example', 'legacy'] };
const IN_ALL = ['new.example/ns/shop/sa/web', 'old.example/ns/shop/sa/web', 'legacy/ns/shop/sa/web'];

t.test('whole principals of the own domain stand for all of its names', async (t) => {
  for (const [one, expected] of [
    ['old.example/ns/shop/sa/web', IN_ALL],
    ['new.example/ns/shop/sa/web', IN_ALL],
    ['cluster.local/ns/shop/sa/web', IN_ALL],
    ['old*/ns/shop/sa/web', IN_ALL],
    ['legacy/ns/shop/sa/*', IN_ALL.map((name) => name.replace('web', '*'))],
    ['*.example/ns/shop/sa/web', ['*.example/ns/shop/sa/web', 'legacy/ns/shop/sa/web']],
    ['*/ns/shop/sa/web', ['*/ns/shop/sa/web']],
    ['other.example/ns/shop/sa/web', ['other.example/ns/shop/sa/web']],
    ['old.example/ns/shop/*', ['old.example/ns/shop/*']],
    ['old.example*', ['old.example*']],
    ['*', ['*']],
  ] as const) {
    t.same(allNamesOf(one, OWN), expected, one);
  }
});

t.test('cluster.local is the own domain, unless the mesh federates with another of that name', async (t) => {
  const one = 'cluster.local/ns/shop/sa/web';
  t.same(allNamesOf(one, { names: ['new.example'] }), ['new.example/ns/shop/sa/web']);
  t.same(allNamesOf(one, { names: ['new.example'], isClusterLocalForeign: true }), [one]);
});

t.test('a trust domain alone stands for all names, a pattern for what it matches', async (t) => {
  t.same(allDomainsOf('legacy', OWN), OWN.names);
  t.same(allDomainsOf('old*', OWN), ['old*']);
  t.same(allDomainsOf('cluster.local', OWN), ['cluster.local']);
});
