import t, { type Test } from 'tap';
import { authorizationPolicyKind } from '#policy/resource/kinds/authorization-policy.ts';
import { authorizationRule } from '#policy/resource/kinds/authorization-rule.ts';
import { CONDITION_KEYS } from '#policy/resource/kinds/condition-key.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';
import { firstMatch } from './authorization/plain-evaluator.ts';
import { type CaseClause, clausesOf, HEADERS_APART, negationOf, withoutHolding, withValues } from './case-clauses.ts';
import { MESH } from './case-file.ts';
import { CASES, isDifferent, type LoadedCase, outcomes } from './case-outcomes.ts';
import { ALWAYS_THERE, FORMS, formOf } from './value-forms.ts';

/**
 * Proves that the cases depend on every field of the schema. A clause decides about a request where the case would see another
 * outcome if the clause always held than if it never did; which of the two it sees tells whether it matched.
 */

/** Of TCP, about which nothing is known. */
const CONNECTION: AuthorizationRequest = {
  source: null,
  method: undefined,
  path: undefined,
  host: undefined,
  headers: [],
  port: 1,
  sourceIp: undefined,
  remoteIp: undefined,
  sni: undefined,
  claims: undefined,
};

/** What was seen to decide: `FIELD, FORM: WHAT`. */
const proven = new Set<string>();
/** Clauses without which no case would see another outcome; of negations those whose values do not matter either way. */
const idle: string[] = [];

const MATCH = 'a value that matches and so decides';
const MISS = 'values none of which matches, which decides';
const TCP_ALLOW = 'a TCP connection, which an ALLOW rule with it never matches';
const TCP_DENY = 'a TCP connection, which a DENY rule matches without it';

function prove(t: Test, given: LoadedCase, clause: CaseClause, usual: readonly string[]): void {
  const { policy, name, positive, values, isNegation } = clause;
  const always = outcomes(given, policy, withValues(clause, []));
  const never = outcomes(given, policy, withoutHolding(clause));
  const forms = [...new Set(values.map((value) => formOf(positive, value)))];
  const others = forms.map((form) => {
    const left = values.filter((value) => formOf(positive, value) !== form);
    const without =
      left.length > 0 ? withValues(clause, left) : isNegation ? withValues(clause, []) : withoutHolding(clause);
    return { form, left: outcomes(given, policy, without) };
  });
  for (const [at, { title, plain }] of given.requests.entries()) {
    if (always[at] === never[at]) continue;
    const where = `${given.name}: ${title}: rule ${clause.rule} of ${policy.name}, ${name}`;
    const holds = usual[at] === always[at];
    if (!holds && usual[at] !== never[at]) t.fail(`${where}: neither holds nor fails`);
    const { action } = policy.spec;
    if (plain.method === undefined && needsHttp(clause)) {
      if (action === 'ALLOW' || action === 'DENY') proven.add(`${name}: ${action === 'ALLOW' ? TCP_ALLOW : TCP_DENY}`);
      if (holds !== (action !== 'ALLOW')) t.fail(`${where}: on TCP`);
      continue;
    }
    // The plain evaluator knows no other names of the own trust domain.
    const isPlain = given.mesh.trustDomain === MESH.trustDomain;
    if (isPlain && holds !== holdsPlainly(clause, plain)) t.fail(`${where}: the plain evaluator has it otherwise`);
    const matches = holds !== isNegation;
    proven.add(`${action}: ${matches ? MATCH : MISS}`);
    proven.add(`${name} in ${action}: ${matches ? MATCH : MISS}`);
    for (const { form, left } of others) {
      if (!matches) proven.add(`${name}, ${form}: ${MISS}`);
      else if (left[at] !== usual[at]) proven.add(`${name}, ${form}: ${MATCH}`);
    }
  }
  if (isNegation && isDifferent(usual, never)) return;
  if (!isDifferent(usual, always)) {
    idle.push(`${given.name}: rule ${clause.rule} of ${policy.name}: no request is decided otherwise without ${name}`);
  }
}

/** The clause by itself, in an action that leaves out what a TCP connection has not. */
function holdsPlainly(
  { policy, alone }: CaseClause,
  request: AuthorizationRequest,
  action: 'ALLOW' | 'AUDIT' = 'AUDIT',
) {
  const { namespace, name } = policy;
  return firstMatch([{ namespace, name, action, isOnTrial: false, rules: [alone] }], action, request) !== undefined;
}

/** True of what a TCP connection has not. */
function needsHttp(clause: CaseClause): boolean {
  return holdsPlainly(clause, CONNECTION) && !holdsPlainly(clause, CONNECTION, 'ALLOW');
}

const notOf = (name: string) => (KEYS.includes(name) ? `${name} notValues` : negationOf(name));

/** Fields of the source or of the operation that a rule names, without their negations. */
function fieldsOf(part: 'from' | 'to', entry: 'source' | 'operation'): readonly string[] {
  const names = Object.keys(propertiesOf(propertiesOf(propertiesOf(authorizationRule.json)[part], 'items')[entry]));
  const negations = new Set(names.map(negationOf));
  return names.filter((name) => !negations.has(name));
}

/** `properties` of a JSON Schema, or of that of the items of a list. */
function propertiesOf(json: unknown, within?: 'items'): { readonly [name: string]: unknown } {
  const of = within === undefined || !isRecord(json) ? json : json[within];
  if (!isRecord(of) || !isRecord(of.properties)) throw new TypeError('expected the schema of an object');
  return of.properties;
}

const FIELDS = [...fieldsOf('from', 'source'), ...fieldsOf('to', 'operation')];
const KEYS: readonly string[] = [
  ...CONDITION_KEYS,
  ...HEADERS_APART.map((name) => `request.headers[${name}]`),
  'request.auth.claims[NAME][NAME]',
];

t.test('what the cases are about', async (t) => {
  const rule = Object.keys(propertiesOf(authorizationRule.json));
  t.same(rule, ['from', 'to', 'when', 'condition'], 'a part of rules that these tests do not know');
  const condition = Object.keys(propertiesOf(propertiesOf(authorizationRule.json).when, 'items'));
  t.same(condition, ['key', 'values', 'notValues'], 'a field of `when` that these tests do not know');
});

t.test('every field and key decides by a match, by a miss and by its negation', async (t) => {
  for (const given of CASES) {
    const usual = outcomes(given, undefined, undefined);
    for (const policy of given.policies) for (const clause of clausesOf(policy)) prove(t, given, clause, usual);
  }
  for (const positive of [...FIELDS, ...KEYS]) {
    const forms = FORMS[positive];
    if (forms === undefined) {
      t.fail(`${positive}: say in FORMS which forms of values it takes, and give it cases`);
      continue;
    }
    const isOfHttp = [...proven].some((one) => one.startsWith(`${positive}: `));
    for (const name of [positive, notOf(positive)]) {
      for (const what of [MATCH, MISS]) {
        for (const form of forms) {
          if (what === MATCH || form !== '*' || !ALWAYS_THERE.has(positive)) demand(t, `${name}, ${form}: ${what}`);
        }
        for (const action of ['ALLOW', 'DENY']) demand(t, `${name} in ${action}: ${what}`);
      }
      if (isOfHttp) for (const what of [TCP_ALLOW, TCP_DENY]) demand(t, `${name}: ${what}`);
    }
  }
  for (const action of actions()) for (const what of [MATCH, MISS]) demand(t, `${action}: ${what}`);
});

t.test('no clause of a case is idle', async (t) => {
  for (const one of idle) t.fail(one);
});

function actions(): readonly unknown[] {
  const { action } = propertiesOf(authorizationPolicyKind.spec.json);
  if (!isRecord(action) || !Array.isArray(action.enum)) throw new TypeError('expected the schema of a choice');
  return action.enum;
}

function demand(t: Test, what: string): void {
  t.ok(proven.has(what), `no case in test/cases: ${what}`);
}
