import t from 'tap';
import { createOfflineAuthorizer } from '#cli/offline/authorize-offline.ts';
import { checkOfflineRequest, type OfflineRequest } from '#cli/offline/offline-request.ts';
import { loadResources } from '#policy/load-resources.ts';
import { authorizationRule } from '#policy/resource/kinds/authorization-rule.ts';
import { PLAIN_KEYS, parseConditionKey } from '#policy/resource/kinds/condition-key.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { readYaml } from '#policy/yaml/read-yaml.ts';
import { caseNames, MESH, readCase } from './policy-cases.ts';

/**
 * Every field of a rule, and its negation, decides some request of test/cases by matching and another by missing: the field is
 * changed in the policy, and a decision must come out otherwise. `matches`: values that nothing has refuse somebody; `misses`: without
 * the field somebody else is matched; of a negation `holds` (it refuses all) and `excludes` (it is left out).
 */
const POSITIVE = ['matches', 'misses'] as const;
const NEGATIVE = ['holds', 'excludes'] as const;
/** Forms of the values of fields that are texts, each of which decides something. */
const FORMS = ['exact', 'prefix*', '*suffix', '*'] as const;
const PATH_FORMS = [...FORMS, '{*}', '{**}'];

/** Of fields and keys of `when` whose values have no wildcards, and what lets them match anything. */
const WITHOUT_FORMS = /(ip|ipBlocks|remoteIpBlocks|ports?|serviceAccounts?|namespaces?|trustDomains?)$/i;

type Json = { [name: string]: unknown };

interface LoadedCase {
  readonly documents: readonly Json[];
  readonly requests: readonly OfflineRequest[];
  readonly outcomes: readonly string[];
}

/** A field of a rule of one of the documents. */
interface Place {
  readonly name: string;
  readonly isNegative: boolean;
  /** The mapping that has it, within a copy of the documents. */
  readonly within: (documents: readonly Json[]) => Json;
  readonly field: string;
}

const cases = caseNames().map(loadCase);
const seen = new Set<string>();
for (const one of cases) for (const place of placesOf(one)) mutate(one, place);

t.test('every field and its negation has a match and a miss among the cases', async (t) => {
  const text = JSON.stringify(authorizationRule.json);
  const lists = new Set([...text.matchAll(/"([a-zA-Z]+)":\{"type":"array"/g)].map(([, name = '']) => name));
  const fields = [...lists].filter((name) => name !== 'values' && lists.has(negationOf(name)));
  t.ok(fields.length >= 11, fields.join());
  const keys = [...PLAIN_KEYS, 'request.headers', 'request.auth.claims', 'request.auth.claims nested'];
  for (const field of [...fields, ...keys]) {
    for (const effect of POSITIVE) t.ok(seen.has(`${field} ${effect}`), `${field}: a request that it ${effect}`);
    for (const effect of NEGATIVE) t.ok(seen.has(`not ${field} ${effect}`), `not ${field}: one that it ${effect}`);
    if (WITHOUT_FORMS.test(field)) continue;
    const forms = field === 'paths' ? PATH_FORMS : FORMS;
    for (const form of forms) t.ok(seen.has(`${field} as ${form}`), `${field}: a value of the form ${form}`);
  }
});

t.test('every action decides something among the cases', async (t) => {
  for (const action of ['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']) {
    const isDecisive = cases.some((one) =>
      one.documents.some((document, index) => {
        const spec = specOf(document);
        if (document['kind'] !== 'AuthorizationPolicy' || (spec['action'] ?? 'ALLOW') !== action) return false;
        return outcomesOf(one.documents.toSpliced(index, 1), one.requests).join() !== one.outcomes.join();
      }),
    );
    t.ok(isDecisive, action);
  }
});

function mutate(one: LoadedCase, { name, isNegative, within, field }: Place): void {
  const changed = (change: (mapping: Json) => void) => {
    const documents = structuredClone(one.documents);
    change(within(documents));
    return outcomesOf(documents, one.requests).join() !== one.outcomes.join();
  };
  const shown = isNegative ? `not ${name}` : name;
  // an entry must not be empty: what refuses nothing stands for what is absent
  const without = (mapping: Json) => {
    if (!isNegative) delete mapping[field];
    const negation = isNegative ? field : negationOf(field);
    mapping[negation] = isNegative ? [nothingOf(name)] : (mapping[negation] ?? [nothingOf(name)]);
  };
  const note = (effect: string, change: (mapping: Json) => void) => {
    if (!seen.has(`${shown} ${effect}`) && changed(change)) seen.add(`${shown} ${effect}`);
  };
  if (isNegative) {
    note('excludes', without);
    note('holds', (mapping) => {
      mapping[field] = everythingOf(name, one.requests);
    });
    return;
  }
  note('misses', without);
  note('matches', (mapping) => {
    mapping[field] = [nothingOf(name)];
  });
  const values = within(one.documents)[field];
  const texts: readonly unknown[] = Array.isArray(values) ? values : [];
  for (const [index, value] of texts.entries()) {
    if (typeof value !== 'string') continue;
    note(`as ${formOf(value)}`, (mapping) => {
      mapping[field] = texts.with(index, nothingOf(name));
    });
  }
}

function formOf(value: string): string {
  if (value.includes('{**}')) return '{**}';
  if (value.includes('{*}')) return '{*}';
  if (value === '*') return '*';
  if (value.startsWith('*')) return '*suffix';
  return value.endsWith('*') ? 'prefix*' : 'exact';
}

/** A value that no request of the cases has. */
function nothingOf(name: string): string {
  if (/ip(Blocks)?$/i.test(name)) return '203.0.113.255';
  if (/port/.test(name)) return '1';
  if (/serviceAccount/.test(name)) return 'no-such/account';
  return name === 'paths' ? '/no/such/path' : 'no-such-value';
}

/** Values of which every request of the case has one. */
function everythingOf(name: string, requests: readonly OfflineRequest[]): readonly string[] {
  if (/ip(Blocks)?$/i.test(name)) return ['0.0.0.0/0', '::/0'];
  if (/port/.test(name)) return [...new Set(requests.map(({ to }) => String(to.port)))];
  if (!/serviceAccount/.test(name)) return ['*'];
  const accounts = requests.flatMap(
    ({ from = '' }) => /\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(from)?.slice(1).join('/') ?? [],
  );
  return accounts.length === 0 ? [nothingOf(name)] : [...new Set(accounts)].slice(0, 16);
}

function* placesOf({ documents }: LoadedCase): Generator<Place> {
  for (const [index, document] of documents.entries()) {
    if (document['kind'] !== 'AuthorizationPolicy') continue;
    for (const [rule, given] of listOf(specOf(document)['rules']).entries()) {
      const ruleIn = (all: readonly Json[]) => listOf(specOf(all[index] ?? {})['rules'])[rule] ?? {};
      for (const [part, inner] of [
        ['from', 'source'],
        ['to', 'operation'],
      ] as const) {
        for (const [entry, mapping] of listOf(given[part]).entries()) {
          const within = (all: readonly Json[]) => recordOf(listOf(ruleIn(all)[part])[entry]?.[inner]);
          for (const field of Object.keys(recordOf(mapping[inner]))) yield { ...nameOf(field), within, field };
        }
      }
      for (const [entry, condition] of listOf(given['when']).entries()) {
        const within = (all: readonly Json[]) => listOf(ruleIn(all)['when'])[entry] ?? {};
        for (const field of ['values', 'notValues']) {
          if (condition[field] === undefined) continue;
          const name = keyName(String(condition['key']));
          yield { name, isNegative: field === 'notValues', within, field };
        }
      }
    }
  }
}

function nameOf(field: string): Pick<Place, 'name' | 'isNegative'> {
  if (!/^not[A-Z]/.test(field)) return { name: field, isNegative: false };
  return { name: `${field.charAt(3).toLowerCase()}${field.slice(4)}`, isNegative: true };
}

function negationOf(field: string): string {
  return `not${field.charAt(0).toUpperCase()}${field.slice(1)}`;
}

function keyName(key: string): string {
  const parsed = parseConditionKey(key);
  if (parsed?.kind === 'header') return 'request.headers';
  if (parsed?.kind !== 'claim') return key;
  return parsed.names.length > 1 ? 'request.auth.claims nested' : 'request.auth.claims';
}

function loadCase(name: string): LoadedCase {
  const { given } = readCase(name);
  const { documents } = readYaml({ path: name, text: given.resources });
  const resources = documents.map(({ value }) => recordOf(value));
  const requests = given.requests.flatMap(({ request }) => {
    const reading = checkOfflineRequest({ to: given.to, ...recordOf(request) });
    return reading.kind === 'request' ? [reading.request] : [];
  });
  return { documents: resources, requests, outcomes: outcomesOf(resources, requests) };
}

/** What is decided; of AUDIT policies, which decide nothing, that they matched. A change that is refused at load changes nothing. */
function outcomesOf(documents: readonly Json[], requests: readonly OfflineRequest[]): readonly string[] {
  const text = documents.map((document) => JSON.stringify(document)).join('\n---\n');
  const { sourced, problems } = loadResources([{ path: 'case', text }], () => undefined, MESH);
  const fault = problems.find(({ severity }) => severity === 'error');
  if (fault !== undefined) throw new Error(`${fault.message}: ${text}`);
  const authorizer = createOfflineAuthorizer(
    sourced.map(({ any }) => any),
    MESH,
  );
  return requests.map((request) => {
    const { decision, code, policy, rule, reason } = authorizer.decide(request);
    const isNoted = reason.includes('AUDIT policy');
    return `${decision} ${code} ${decision === 'allow' || code === 'authorization_denied' ? `${policy} ${rule}` : ''} ${isNoted}`;
  });
}

function specOf(document: Json): Json {
  return recordOf(document['spec']);
}

function recordOf(value: unknown): Json {
  return isRecord(value) ? (value as Json) : {};
}

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map((one) => one as Json) : [];
}
