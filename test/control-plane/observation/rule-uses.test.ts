import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadResources } from '#policy/load-resources.ts';
import { mergeRules } from '../../../cli/operations/merge-rules.ts';
import { ruleVerdict } from '../../../cli/operations/rule-verdict.ts';
import type { SidecarTrust } from '../../../control-plane/authority/trust-survey.ts';
import { ruleUseFile } from '../../../control-plane/observation/rule-use-store.ts';
import { MAX_ABSENCE_MS, RuleUses } from '../../../control-plane/observation/rule-uses.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const DAY_MS = 86_400_000;
const LEAF_MS = DAY_MS;

function documents(...paths: readonly string[]) {
  const rules = paths.map((path) => ({ to: [{ operation: { paths: [path] } }] }));
  const metadata = { name: 'orders', namespace: 'shop' };
  const text = JSON.stringify({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata,
    spec: { rules },
  });
  return loadResources([{ path: 'a.yaml', text }], () => undefined, MESH).resources;
}

const sidecar = (name: string, isConnected: boolean): SidecarTrust => ({
  ...{ name, identity: `spiffe://cluster.local/ns/${name.split('/')[0]}/sa/a`, trusts: true },
  ...{ isConnected, untilMs: 0 },
});

function start(t: Test) {
  const world = { nowMs: 100 * DAY_MS, resources: documents('/a', '/b'), sidecars: [sidecar('shop/one', true)] };
  const store = ruleUseFile(join(t.testdir(), 'rules.json'), (reason) => t.fail(reason));
  const open = () =>
    RuleUses.open({
      ...{
        mesh: MESH,
        store,
        leafLifetimeMs: LEAF_MS,
        isGone: () => false,
        serving: undefined,
        now: () => world.nowMs,
      },
      resources: () => world.resources,
      survey: { answer: () => ({ sidecars: world.sidecars, sinceMs: 0, forgotten: 0 }) },
    });
  const verdicts = (uses: RuleUses, isWhole = true) => {
    const { rules, ...facts } = uses.facts();
    return rules.map((rule) => ruleVerdict(rule, facts, { windowMs: 7 * DAY_MS, nowMs: world.nowMs, isWhole }));
  };
  return { world, open, verdicts };
}

t.test('unused is said of a rule only after the whole time, and where all of its sidecars are heard', async (t) => {
  const { world, open, verdicts } = start(t);
  const uses = await open();
  t.teardown(() => uses.close());
  const [first, second] = uses.facts().rules;
  world.nowMs += 7 * DAY_MS - 1;
  uses.take([{ policy: 'shop/orders', rule: 0, key: first?.key ?? '', matches: 3 }]);
  t.strictSame(verdicts(uses), ['used', 'observed too shortly']);
  world.nowMs += 1;
  t.strictSame(verdicts(uses), ['used', 'unused']);
  t.strictSame(verdicts(uses, false), ['used', 'not all sidecars heard'], 'a replica did not answer');
  world.sidecars = [sidecar('shop/one', true), sidecar('other/gone', false)];
  t.strictSame(verdicts(uses), ['used', 'unused'], 'it is of another namespace');
  world.sidecars = [sidecar('shop/one', true), sidecar('shop/gone', false)];
  t.strictSame(verdicts(uses), ['used', 'not all sidecars heard']);
  uses.take([{ policy: 'shop/orders', rule: 1, key: second?.key ?? '', matches: 1 }]);
  t.strictSame(verdicts(uses), ['used', 'used']);
  t.strictSame(
    uses.facts().rules.map(({ matches }) => matches),
    [3, 1],
  );
});

t.test('counts outlast a restart, and a rule goes on in another place of its policy', async (t) => {
  const { world, open, verdicts } = start(t);
  const uses = await open();
  const key = uses.facts().rules[1]?.key ?? '';
  uses.take([{ policy: 'shop/orders', rule: 1, key, matches: 2 }]);
  await uses.close();
  const since = uses.facts().observedSince;
  world.nowMs += MAX_ABSENCE_MS;
  world.resources = documents('/b', '/c');
  world.sidecars = [];
  const again = await open();
  t.match(again.facts().rules, [
    { key, rule: 0, matches: 2, inForceSince: since },
    { rule: 1, matches: 0, lastMatched: null, inForceSince: new Date(world.nowMs).toISOString() },
  ]);
  t.equal(again.facts().observedSince, since);
  t.strictSame(again.facts().unheard, ['shop/one'], 'who was connected before is waited for');
  world.nowMs += LEAF_MS;
  t.strictSame(again.facts().unheard, [], 'by now its certificate has ended');
  await again.close();
  world.nowMs += MAX_ABSENCE_MS + 1;
  const late = await open();
  t.teardown(() => late.close());
  t.equal(late.facts().observedSince, new Date(world.nowMs).toISOString(), 'away for too long: observed anew');
  t.strictSame(verdicts(late), ['observed too shortly', 'observed too shortly']);
});

t.test('what a sidecar tells of rules that are not in force is dropped, and replicas are summed', async (t) => {
  const { world, open } = start(t);
  const uses = await open();
  t.teardown(() => uses.close());
  uses.take([{ policy: 'shop/else', rule: 0, key: 'x', matches: 2 }]);
  world.resources = documents('/a');
  await uses.keep();
  t.match(uses.facts().rules, [{ policy: 'shop/orders', action: 'ALLOW', isOnTrial: false }]);
  t.equal(uses.facts().rules.length, 1);
  const one = { ...uses.facts(), unheard: ['shop/moved', 'shop/lost'] };
  const other = { ...uses.facts(), heard: ['shop/moved'], observedSince: '2999-01-01T00:00:00.000Z' };
  uses.take([{ policy: 'shop/orders', rule: 0, key: one.rules[0]?.key ?? '', matches: 2 }]);
  const merged = mergeRules([one, other, uses.facts()]);
  t.match(merged, { unheard: ['shop/lost'], observedSince: other.observedSince, rules: [{ matches: 2 }] });
});
