import t, { type Test } from 'tap';
import { ATTRIBUTES } from '#policy/condition/attributes.ts';
import { authorizationPolicyKind } from '#policy/resource/kinds/authorization-policy.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { type Policy, withRule } from './case-clauses.ts';
import { MESH } from './case-file.ts';
import { CASES, isDifferent, type LoadedCase, outcomes } from './case-outcomes.ts';

/** Proves that the cases depend on what policies say beside the fields of rules: see cases-cover-fields.test.ts. */

const BINDS = 'a workload that it binds';
const MISSES = 'a workload that it does not bind';
const HOLDS = 'a request of which it holds';
const FAILS = 'a request of which it does not';
const UNJUDGED = 'a request of which it cannot be judged';
const DEPENDS = 'a request that is decided otherwise without it';

/** What was seen to decide. */
const proven = new Set<string>();
/** Conditions without which no case would see another outcome. */
const idle: string[] = [];

for (const given of CASES) {
  const usual = outcomes(given);
  for (const policy of given.policies) {
    provePolicy(given, policy, usual);
    for (const [place, { condition }] of (policy.spec.rules ?? []).entries()) {
      if (condition !== undefined) proveCondition(given, policy, place, condition, usual);
    }
  }
}

function provePolicy(given: LoadedCase, policy: Policy, usual: readonly string[]): void {
  const { spec, namespace } = policy;
  const gone = outcomes(given, policy);
  const changed = (more: Partial<Policy['spec']>) => outcomes(given, policy, { ...policy, spec: { ...spec, ...more } });
  if (spec.selector !== undefined) proveBinding('selector', usual, changed({ selector: undefined }), gone);
  const isRoot = namespace === MESH.rootNamespace;
  const everywhere = isRoot ? usual : outcomes(given, policy, { ...policy, namespace: MESH.rootNamespace });
  proveBinding(isRoot ? 'a policy of the root namespace' : 'a policy of a namespace', usual, everywhere, gone);
  if (policy.isOnTrial === true) {
    const enforced = outcomes(given, policy, { ...policy, isOnTrial: false });
    const how = spec.mode === undefined ? 'the annotation of a trial' : 'spec.mode';
    if (isDifferent(usual, enforced)) proven.add(`${how}: ${DEPENDS}`);
  }
  for (const field of Object.keys(spec)) {
    if (!isDifferent(usual, changed({ [field]: field === 'action' ? 'ALLOW' : undefined }))) continue;
    proven.add(`spec.${field}: ${DEPENDS}`);
  }
  const rules = spec.rules ?? [];
  if (rules.length === 0 && isDifferent(usual, gone)) proven.add(`no rules: ${DEPENDS}`);
  for (const [place, rule] of rules.entries()) {
    const isEmpty = Object.values(rule).every((part) => part === undefined);
    const without = outcomes(
      given,
      policy,
      withRule(policy, place, () => undefined),
    );
    if (isEmpty && isDifferent(usual, without)) proven.add(`an empty rule: ${DEPENDS}`);
  }
}

/** Which of the two the case sees, where it tells apart whether the policy binds the workload. */
function proveBinding(what: string, usual: readonly string[], bound: readonly string[], gone: readonly string[]): void {
  for (const [at, outcome] of usual.entries()) {
    if (bound[at] !== gone[at]) proven.add(`${what}: ${outcome === gone[at] ? MISSES : BINDS}`);
  }
}

function proveCondition(
  given: LoadedCase,
  policy: Policy,
  place: number,
  condition: string,
  usual: readonly string[],
): void {
  const always = outcomes(
    given,
    policy,
    withRule(policy, place, (rule) => ({ ...rule, condition: undefined })),
  );
  const never = outcomes(
    given,
    policy,
    withRule(policy, place, () => undefined),
  );
  if (!isDifferent(usual, always)) idle.push(`${given.name}: the condition of rule ${place} of ${policy.name}`);
  const attributes = Object.keys(ATTRIBUTES).filter((name) => condition.includes(name));
  for (const [at, outcome] of usual.entries()) {
    if (always[at] === never[at]) continue;
    const what = outcome === always[at] ? HOLDS : outcome === never[at] ? FAILS : UNJUDGED;
    for (const name of [...attributes, policy.spec.action]) proven.add(`condition, ${name}: ${what}`);
  }
}

t.test('every field of a policy decides', async (t) => {
  const { properties } = authorizationPolicyKind.spec.json;
  if (!isRecord(properties)) throw new TypeError('expected the schema of an object');
  for (const field of Object.keys(properties)) demand(t, `spec.${field}: ${DEPENDS}`);
  for (const what of ['selector', 'a policy of a namespace']) {
    demand(t, `${what}: ${BINDS}`);
    demand(t, `${what}: ${MISSES}`);
  }
  demand(t, `a policy of the root namespace: ${BINDS}`);
  for (const what of ['the annotation of a trial', 'no rules', 'an empty rule']) demand(t, `${what}: ${DEPENDS}`);
});

t.test('every attribute of conditions decides', async (t) => {
  for (const name of [...Object.keys(ATTRIBUTES), 'ALLOW', 'DENY']) {
    demand(t, `condition, ${name}: ${HOLDS}`);
    demand(t, `condition, ${name}: ${FAILS}`);
  }
  for (const action of ['ALLOW', 'DENY']) demand(t, `condition, ${action}: ${UNJUDGED}`);
});

t.test('no condition of a case is idle', async (t) => {
  for (const one of idle) t.fail(`no request is decided otherwise without ${one}`);
});

function demand(t: Test, what: string): void {
  t.ok(proven.has(what), `no case in test/cases: ${what}`);
}
