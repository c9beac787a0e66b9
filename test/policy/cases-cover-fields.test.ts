import { isIPv6 } from 'node:net';
import t, { type Test } from 'tap';
import { createOfflineAuthorizer, type OfflineDecision } from '#cli/offline/authorize-offline.ts';
import { checkOfflineRequest, type OfflineRequest } from '#cli/offline/offline-request.ts';
import { loadResources } from '#policy/load-resources.ts';
import { normalizePath } from '#policy/path/normalize-path.ts';
import { authorizationPolicyKind } from '#policy/resource/kinds/authorization-policy.ts';
import { authorizationRule } from '#policy/resource/kinds/authorization-rule.ts';
import { CONDITION_KEYS } from '#policy/resource/kinds/condition-key.ts';
import type { AnyResource } from '#policy/resource/read-resource.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';
import { firstMatch } from './authorization/plain-evaluator.ts';
import { type CaseClause, clausesOf, negationOf, type Policy, withoutHolding, withValues } from './case-clauses.ts';
import { authorizationRequest, CASE_FILES, MESH, readCase, type Wanted } from './case-file.ts';

/**
 * Proves that the cases depend on every field of the schema. A clause decides about a request where the case would see another
 * outcome if the clause always held than if it never did; which of the two it sees tells whether it matched.
 */

const PATTERNS = ['exact', 'prefix*', '*suffix', '*'];
const ADDRESSES = ['IPv4', 'IPv4 block', 'IPv6', 'IPv6 block'];

/** The forms of values of each field and key; the schema says which there are. */
const FORMS: { readonly [name: string]: readonly string[] } = {
  principals: PATTERNS,
  requestPrincipals: PATTERNS,
  namespaces: [...PATTERNS, 'a*b'],
  serviceAccounts: ['NAME', 'NAMESPACE/NAME'],
  trustDomains: PATTERNS,
  ipBlocks: ADDRESSES,
  remoteIpBlocks: ADDRESSES,
  hosts: PATTERNS,
  ports: ['port'],
  methods: PATTERNS,
  paths: [...PATTERNS, '{*}', '{**}'],
  'request.headers[NAME]': PATTERNS,
  'request.auth.claims[NAME]': PATTERNS,
  'request.auth.claims[NAME][NAME]': PATTERNS,
  'request.auth.principal': PATTERNS,
  'request.auth.audiences': PATTERNS,
  'request.auth.presenter': PATTERNS,
  'source.principal': PATTERNS,
  'source.namespace': [...PATTERNS, 'a*b'],
  'source.serviceAccount': ['NAME', 'NAMESPACE/NAME'],
  'source.trustDomain': PATTERNS,
  'source.ip': ADDRESSES,
  'remote.ip': ADDRESSES,
  'destination.ip': ADDRESSES,
  'destination.port': ['port'],
  'connection.sni': PATTERNS,
};

/** What every request has, so that `*` matches it. */
const ALWAYS_THERE = new Set(['methods', 'paths']);

function formOf(name: string, value: string): string {
  const forms = FORMS[name] ?? [];
  if (forms === ADDRESSES)
    return `IPv${isIPv6(value.replace(/\/.*/, '')) ? 6 : 4}${value.includes('/') ? ' block' : ''}`;
  if (forms.includes('port')) return 'port';
  if (forms.includes('NAME')) return value.includes('/') ? 'NAMESPACE/NAME' : 'NAME';
  if (forms.includes('{*}') && value.includes('{**}')) return '{**}';
  if (forms.includes('{*}') && value.includes('{*}')) return '{*}';
  if (value === '*') return '*';
  if (value.startsWith('*')) return '*suffix';
  if (value.endsWith('*')) return 'prefix*';
  return forms.includes('a*b') && value.includes('*') ? 'a*b' : 'exact';
}

/** One request of a case, read. */
interface CaseRequest {
  readonly title: string;
  readonly request: OfflineRequest;
  readonly plain: AuthorizationRequest;
  readonly wanted: Wanted;
}

interface LoadedCase {
  readonly name: string;
  readonly resources: readonly AnyResource[];
  readonly policies: readonly Policy[];
  readonly requests: readonly CaseRequest[];
}

function loadCase(name: string): LoadedCase {
  const { given } = readCase(name);
  const { sourced } = loadResources([{ path: name, text: given.resources }], () => undefined, MESH);
  const resources = sourced.map(({ any }) => any);
  const { policies, defaults } = createOfflineAuthorizer(resources, MESH);
  const requests = given.requests.map(({ title, request, wanted }) => {
    const reading = checkOfflineRequest({ to: given.to, ...(isRecord(request) ? request : {}) });
    if (reading.kind === 'broken') throw new Error(`${name}: ${title}: ${reading.reason}`);
    const asked = authorizationRequest(reading.request, defaults.trustedProxies);
    const path = normalizePath(asked.path ?? '/', defaults.pathNormalization);
    const plain = { ...asked, path: asked.path === undefined || path.kind === 'ambiguous' ? asked.path : path.path };
    return { title, request: reading.request, plain, wanted };
  });
  return { name, resources, policies, requests };
}

/** What a case sees of each of its requests if this policy were another one; undefined: if there were none. */
function outcomes({ resources, requests }: LoadedCase, policy?: Policy, other?: Policy): readonly string[] {
  const changed = resources.flatMap((any): readonly AnyResource[] => {
    if (any.type !== 'AuthorizationPolicy' || any.resource !== policy) return [any];
    return other === undefined ? [] : [{ type: any.type, resource: other }];
  });
  const authorizer = createOfflineAuthorizer(changed, MESH);
  return requests.map(({ request, wanted }) => seen(authorizer.decide(request), wanted));
}

/** What a case tells apart by what it wants; numbers of rules and nearest misses are no part of it. */
function seen({ decision, code, policy, reason }: OfflineDecision, wanted: Wanted): string {
  const notes = /; rule \d+ of (AUDIT policy \S+) matched|on trial: (would be \w+)|(asks \S+) by/g;
  return JSON.stringify([
    decision,
    wanted.code === undefined ? '' : code,
    decision === 'custom' && wanted.policy !== undefined ? policy : '',
    wanted.reason === undefined ? '' : [...reason.matchAll(notes)].map((found) => found.slice(1).join('')),
  ]);
}

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

const cases = CASE_FILES.map(loadCase);
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
      t.equal(holds, action !== 'ALLOW', where);
      continue;
    }
    t.equal(holds, holdsPlainly(clause, plain), `${where}, as the plain evaluator has it`);
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

function isDifferent(usual: readonly string[], other: readonly string[]): boolean {
  return usual.some((outcome, at) => outcome !== other[at]);
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
const KEYS: readonly string[] = [...CONDITION_KEYS, 'request.auth.claims[NAME][NAME]'];

t.test('what the cases are about', async (t) => {
  const rule = Object.keys(propertiesOf(authorizationRule.json));
  t.same(rule, ['from', 'to', 'when', 'condition'], 'a part of rules that these tests do not know');
  const condition = Object.keys(propertiesOf(propertiesOf(authorizationRule.json).when, 'items'));
  t.same(condition, ['key', 'values', 'notValues'], 'a field of `when` that these tests do not know');
});

t.test('every field and key decides by a match, by a miss and by its negation', async (t) => {
  for (const given of cases) {
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
