import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { loadResources } from '#policy/load-resources.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { mergeRules } from '../../../cli/operations/merge-rules.ts';
import { ruleVerdict } from '../../../cli/operations/rule-verdict.ts';
import { MAX_PART_BYTES } from '../../../control-plane/kubernetes/rules/rule-part.ts';
import {
  NEW_RULE_MS,
  RULE_CONFIG_MAPS,
  SHARE_INTERVAL_MS,
  sharedRuleStore,
} from '../../../control-plane/kubernetes/rules/shared-rule-store.ts';
import { NOT_SHARED, type RuleUse } from '../../../control-plane/observation/rule-use.ts';
import { MAX_ABSENCE_MS, RuleUses } from '../../../control-plane/observation/rule-uses.ts';
import { ApiServer, noApiServer } from '../../support/api-server.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const DAY_MS = 86_400_000;
const CONFIG_MAPS = '/api/v1/namespaces/lateral-system/configmaps';

t.setTimeout(200_000);
t.test('counts in ConfigMaps', { skip: noApiServer ?? false, timeout: 190_000 }, withApiServer);

function documents(...paths: readonly string[]) {
  const rules = paths.map((path) => ({ to: [{ operation: { paths: [path] } }] }));
  const metadata = { name: 'orders', namespace: 'shop' };
  const policy = { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata, spec: { rules } };
  return loadResources([{ path: 'a.yaml', text: JSON.stringify(policy) }], () => undefined, MESH).resources;
}

async function withApiServer(t: Test): Promise<void> {
  const api = new ApiServer(t.testdir());
  t.teardown(() => api.stop());
  await api.start();
  await api.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'lateral-system' } });

  const empty = async () => {
    for (const name of RULE_CONFIG_MAPS) {
      await api.client.request(`${CONFIG_MAPS}/${name}`, { method: 'DELETE' }).catch(() => {});
      await api.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'lateral-system' } });
    }
  };
  const versions = async () => {
    const objects = await Promise.all(RULE_CONFIG_MAPS.map((name) => api.client.request(`${CONFIG_MAPS}/${name}`)));
    return objects.map((object) => isRecord(object) && isRecord(object.metadata) && object.metadata.resourceVersion);
  };
  /** Replicas of one cluster, whose clock stands still. */
  const world = async (t: Test, paths = ['/a', '/b', '/c', '/d', '/e']) => {
    await empty();
    const state = {
      ...{ nowMs: 100 * DAY_MS, lastSeenMs: 100 * DAY_MS, serving: ['shop/one'], heard: ['shop/one'] },
      ...{ resources: documents(...paths), failures: [] as string[] },
    };
    const store = () =>
      sharedRuleStore({
        ...{ client: api.client, namespace: 'lateral-system', now: () => state.nowMs },
        lastSeenMs: async () => state.lastSeenMs,
        onFailed: (reason) => state.failures.push(reason),
      });
    const open = async () => {
      const connected = { identity: '', trusts: true, isConnected: true, untilMs: 0 };
      const answer = () => ({
        sidecars: state.heard.map((name) => ({ name, ...connected })),
        sinceMs: 0,
        forgotten: 0,
      });
      const uses = await RuleUses.open({
        ...{ mesh: MESH, store: store(), leafLifetimeMs: DAY_MS, isGone: () => false, now: () => state.nowMs },
        ...{ resources: () => state.resources, survey: { answer }, serving: () => state.serving },
      });
      t.teardown(() => uses.close());
      return uses;
    };
    /** Some time in which a control plane was there. */
    const pass = (ms: number) => {
      state.nowMs += ms;
      state.lastSeenMs = state.nowMs;
    };
    return { state, store, open, pass };
  };
  const match = (uses: RuleUses, rule: number, matches = 1) => {
    const { policy = '', key = '' } = uses.facts().rules[rule] ?? {};
    uses.take([{ policy, rule, key, matches }]);
  };
  const counts = (...replicas: readonly RuleUses[]) =>
    mergeRules(replicas.map((uses) => uses.facts())).rules.map(({ matches }) => matches);

  await t.test('replicas that write at once lose nothing, and count nothing twice', async (t) => {
    const { state, open, pass } = await world(t);
    const replicas = await Promise.all([open(), open(), open()]);
    for (let round = 1; round <= 3; round++) {
      for (const [index, uses] of replicas.entries()) for (let rule = 0; rule < 5; rule++) match(uses, rule, index + 1);
      t.strictSame(counts(...replicas), Array(5).fill(6 * round), 'as much before it is shared');
      pass(SHARE_INTERVAL_MS);
      await Promise.all(replicas.map((uses) => uses.keep()));
      t.strictSame(counts(...replicas), Array(5).fill(6 * round), 'as after it');
      t.ok(replicas.every((uses) => uses.facts().rules.every(({ unshared }) => unshared === 0)));
    }
    t.strictSame(counts(await open()), Array(5).fill(18), 'a replica that comes knows it all');
    t.strictSame(state.failures, []);
  });

  await t.test('counts and the time of observation outlast the end of all replicas', async (t) => {
    const { state, open, pass } = await world(t);
    const uses = await open();
    const { observedSince } = uses.facts();
    pass(7 * DAY_MS);
    match(uses, 1, 2);
    await uses.close();
    state.nowMs += MAX_ABSENCE_MS;
    const again = await open();
    const { rules, ...facts } = again.facts();
    t.equal(facts.observedSince, observedSince);
    const verdicts = () =>
      again
        .facts()
        .rules.map((rule) =>
          ruleVerdict(rule, again.facts(), { windowMs: 7 * DAY_MS, nowMs: state.nowMs, isWhole: true }),
        );
    t.strictSame(verdicts(), ['unused', 'used', 'unused', 'unused', 'unused']);
    t.match(rules[1], { matches: 2, unshared: 0, action: 'ALLOW', rule: 1, inForceSince: observedSince });
    state.serving = ['shop/one', 'shop/never-heard'];
    t.strictSame(again.facts().unheard, ['shop/never-heard'], 'it runs, and nobody has heard it since');
    t.equal(verdicts()[0], 'not all sidecars heard');
  });

  await t.test('a crash takes counts of a minute, and never the first match after a long silence', async (t) => {
    const { open, pass } = await world(t);
    const uses = await open();
    pass(1_000);
    match(uses, 0);
    await uses.keep();
    t.strictSame(counts(await open()), [1, 0, 0, 0, 0], 'the first at once');
    match(uses, 0);
    await uses.keep();
    t.strictSame(counts(await open()), [1, 0, 0, 0, 0], 'the second with those of its minute');
    pass(SHARE_INTERVAL_MS);
    await uses.keep();
    t.strictSame(counts(await open()), [2, 0, 0, 0, 0]);
  });

  await t.test(
    'after too long without any replica it is observed anew, for all of them, and stored at once',
    async (t) => {
      const { state, open } = await world(t);
      const lasting = await open();
      match(lasting, 0);
      await lasting.keep();
      state.nowMs += MAX_ABSENCE_MS + 1;
      const { observedSince } = (await open()).facts();
      t.equal(observedSince, new Date(state.nowMs).toISOString());
      state.lastSeenMs = state.nowMs; // it led, and was killed before its next look
      state.nowMs += 1_000;
      t.match((await open()).facts(), { observedSince, rules: [{ matches: 1 }, {}, {}, {}, {}] });
      match(lasting, 0);
      state.nowMs += SHARE_INTERVAL_MS;
      await lasting.keep();
      t.equal(lasting.facts().observedSince, observedSince, 'one that was cut off hears of it');
    },
  );

  await t.test('nothing is written when nothing has changed', async (t) => {
    const { open, pass } = await world(t);
    const [one, other] = await Promise.all([open(), open()]);
    match(one, 0);
    const keep = async () => {
      pass(SHARE_INTERVAL_MS);
      for (const uses of [one, other]) await uses.keep();
    };
    await keep();
    await keep();
    const before = await versions();
    await keep();
    await one.close();
    t.strictSame(await versions(), before);
  });

  await t.test('a rule that is gone is forgotten, one that others may not have heard of is not', async (t) => {
    const { state, open, pass } = await world(t, ['/a']);
    const late = await open();
    await late.keep();
    state.resources = documents('/a', '/b');
    const early = await open();
    match(early, 1, 5);
    await early.keep();
    state.resources = documents('/a');
    const behind = await open();
    await behind.keep();
    state.resources = documents('/a', '/b');
    t.strictSame(counts(await open()), [0, 5]);
    state.resources = documents('/a');
    pass(NEW_RULE_MS);
    await behind.keep();
    state.resources = documents('/a', '/b');
    const anew = await open();
    t.match(anew.facts().rules[1], { matches: 0, inForceSince: new Date(state.nowMs).toISOString() });
  });

  await t.test('ConfigMaps that were emptied are filled again by those who know', async (t) => {
    const { open, pass } = await world(t);
    const uses = await open();
    match(uses, 2, 7);
    await uses.keep();
    await empty();
    pass(SHARE_INTERVAL_MS);
    match(uses, 2);
    await uses.keep();
    t.strictSame(counts(await open()), [0, 0, 8, 0, 0]);
  });

  await t.test('without its ConfigMaps, or the API server, a control plane counts for itself', async (t) => {
    const { state, open, pass } = await world(t);
    for (const name of RULE_CONFIG_MAPS) await api.client.request(`${CONFIG_MAPS}/${name}`, { method: 'DELETE' });
    const uses = await open();
    match(uses, 0);
    for (let times = 0; times < 2; times++) {
      pass(SHARE_INTERVAL_MS);
      await uses.keep();
    }
    t.strictSame(
      state.failures,
      RULE_CONFIG_MAPS.map((name) => `there is no ConfigMap ${name}; the chart makes it, empty`),
      'said once of each',
    );
    t.strictSame(counts(uses), [1, 0, 0, 0, 0]);
    await empty();
    await api.stopServer();
    pass(SHARE_INTERVAL_MS);
    await uses.keep();
    t.match(state.failures.at(-1), /ECONNREFUSED/);
    await api.startServer();
    pass(SHARE_INTERVAL_MS);
    await uses.keep();
    t.strictSame(counts(await open()), [1, 0, 0, 0, 0]);
  });

  await t.test(
    'as many rules as are remembered find room; what does not is said, and kept by each replica',
    async (t) => {
      const { state, store } = await world(t);
      const sinceMs = 99 * DAY_MS;
      const useOf = (policy: string): RuleUse => {
        const key = randomBytes(8).toString('hex');
        const facts = { rule: 0, action: 'ALLOW', isOnTrial: false, shared: NOT_SHARED };
        const lastMatchedMs = sinceMs + Math.floor(Math.random() * DAY_MS);
        return { policy, key, ...facts, matches: 1 + Math.floor(Math.random() * 1e6), lastMatchedMs, sinceMs };
      };
      const write = (rules: readonly RuleUse[]) =>
        store().write({ savedAtMs: 0, observedSinceMs: sinceMs, rules, sidecars: [] }, 'last');
      const many = Array.from({ length: 100_000 }, (_, index) =>
        useOf(`namespace-${index % 100}/policy-${index >> 2}`),
      );
      await write(many);
      t.strictSame(state.failures, []);
      t.equal((await store().read())?.rules.length, many.length);
      await empty();
      const long = Array.from({ length: 80_000 }, () => useOf(`shop/${randomBytes(200).toString('base64url')}`));
      await write(long);
      t.match(
        state.failures,
        RULE_CONFIG_MAPS.map((name) => new RegExp(`^\\d+ rules find no room in ConfigMap ${name}$`)),
      );
      const stored = (await store().read())?.rules.length ?? 0;
      t.equal(long.filter(({ shared, matches }) => shared.matches === matches).length, stored);
      t.ok(stored > (RULE_CONFIG_MAPS.length * MAX_PART_BYTES) / 300 && stored < long.length, `${stored}`);
    },
  );
}
