import type { Resource } from '../resource/kind.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { AuthorizationRule } from '../resource/kinds/authorization-rule.ts';
import { isRecord } from '../schema/schema.ts';
import { type Dialect, readPatterns, type ValuePattern } from './value-pattern.ts';

/** What a field of a rule looks at. */
export interface RuleAttribute {
  /** The same for all fields and keys of `when` that look at the same. */
  readonly name: string;
  readonly dialect: Dialect;
  /** Only an HTTP request has it. */
  readonly isHttp: boolean;
  /** A request has at most one value of it, and all fields see the same one. */
  readonly isSingle: boolean;
}

/** One field: one of the values must match, or (negative) none. */
export interface RuleClause {
  readonly attribute: RuleAttribute;
  readonly isNegative: boolean;
  readonly patterns: readonly ValuePattern[];
  readonly exactTexts: ReadonlySet<string>;
  readonly wild: readonly ValuePattern[];
  /** From the root of the rule. */
  readonly path: readonly (string | number)[];
}

export type RulePart = 'from' | 'to' | 'when';

/** A rule as analysis sees it: of each of `from` and `to` one alternative holds, and all of `when`. None: anything. */
export interface RuleClauses {
  readonly from: readonly (readonly RuleClause[])[];
  readonly to: readonly (readonly RuleClause[])[];
  readonly when: readonly RuleClause[];
  /** What no clause tells: conditions in CEL, and parts that analysis does not know. Equal texts mean the same. */
  readonly others: string;
  readonly hasHttp: boolean;
  /** Made where it is asked for: the whole rule, in an order of its own. */
  readonly texts: { whole: string | undefined };
}

function attribute(name: string, dialect: Dialect, more: Partial<RuleAttribute> = {}): RuleAttribute {
  return { name, dialect, isHttp: false, isSingle: true, ...more };
}

const PRINCIPAL = attribute('source.principal', 'text');
const TRUST_DOMAIN = attribute('source.trustDomain', 'text');
export const NAMESPACE = attribute('source.namespace', 'glob');
const PORT = attribute('destination.port', 'port');
const HTTP = { isHttp: true };
const SEVERAL = { isHttp: true, isSingle: false };

/** By the field's name without its `not`. */
const FIELDS: { readonly [field: string]: RuleAttribute } = {
  principals: PRINCIPAL,
  serviceAccounts: PRINCIPAL,
  namespaces: NAMESPACE,
  trustDomains: TRUST_DOMAIN,
  requestPrincipals: attribute('request.auth.principal', 'text', HTTP),
  ipBlocks: attribute('source.ip', 'ip'),
  remoteIpBlocks: attribute('remote.ip', 'ip'),
  // With and without its port: two spellings of one host.
  hosts: attribute('host', 'caseless', SEVERAL),
  ports: PORT,
  methods: attribute('method', 'text', HTTP),
  paths: attribute('path', 'path', HTTP),
};

/** By the key of `when`, as far as it is no header and no claim. */
const KEYS: { readonly [key: string]: RuleAttribute } = {
  'source.principal': PRINCIPAL,
  'source.serviceAccount': PRINCIPAL,
  'source.namespace': NAMESPACE,
  'source.trustDomain': TRUST_DOMAIN,
  'source.ip': attribute('source.ip', 'ip'),
  'remote.ip': attribute('remote.ip', 'ip'),
  'destination.ip': attribute('destination.ip', 'ip'),
  'destination.port': PORT,
  'connection.sni': attribute('connection.sni', 'text'),
  'request.auth.principal': attribute('request.auth.principal', 'text', HTTP),
};

const ACCOUNT_FIELDS: ReadonlySet<string> = new Set(['serviceAccounts', 'source.serviceAccount']);

const known = new WeakMap<AuthorizationPolicySpec, (RuleClauses | undefined)[]>();

/** The clauses of one rule of a policy, made once. */
export function clausesOf({ spec, namespace }: Resource<AuthorizationPolicySpec>, index: number): RuleClauses {
  const rules = known.get(spec) ?? [];
  known.set(spec, rules);
  const clauses = rules[index] ?? readClauses(spec.rules?.[index] ?? {}, namespace);
  rules[index] = clauses;
  return clauses;
}

function readClauses(rule: Partial<AuthorizationRule>, namespace: string): RuleClauses {
  const { from, to, when, ...rest } = rule;
  const alternatives = (part: 'from' | 'to', inner: 'source' | 'operation', list: readonly object[] | undefined) =>
    (list ?? []).map((entry, index) => {
      const fields: unknown = Object.entries(entry).find(([name]) => name === inner)?.[1];
      return fieldClauses(isRecord(fields) ? fields : {}, [part, index, inner], namespace);
    });
  const parts = {
    from: alternatives('from', 'source', from),
    to: alternatives('to', 'operation', to),
    when: (when ?? []).flatMap((condition, index) => conditionClauses(condition, index, namespace)),
  };
  const others = Object.entries(rest).filter(([, value]: readonly [string, unknown]) => value !== undefined);
  const all = [...parts.from.flat(), ...parts.to.flat(), ...parts.when];
  return {
    ...parts,
    others: others.length === 0 ? '' : JSON.stringify(others),
    hasHttp: all.some((clause) => clause.attribute.isHttp) || others.length > 0,
    texts: { whole: undefined },
  };
}

function fieldClauses(
  fields: { readonly [name: string]: unknown },
  path: readonly (string | number)[],
  namespace: string,
): readonly RuleClause[] {
  return Object.entries(fields).flatMap(([name, values]) => {
    if (!isGiven(values)) return [];
    const isNegative = /^not[A-Z]/.test(name);
    const field = isNegative ? `${name.charAt(3).toLowerCase()}${name.slice(4)}` : name;
    const seen = FIELDS[field] ?? attribute(`field ${field}`, 'opaque', SEVERAL);
    return [clause(seen, isNegative, accountsOf(field, values, namespace), [...path, name])];
  });
}

function conditionClauses(
  { key, values, notValues }: NonNullable<AuthorizationRule['when']>[number],
  index: number,
  namespace: string,
): readonly RuleClause[] {
  const seen = attributeOfKey(key);
  const found: RuleClause[] = [];
  const add = (name: string, given: readonly string[] | undefined, isNegative: boolean) => {
    if (isGiven(given)) found.push(clause(seen, isNegative, accountsOf(key, given, namespace), ['when', index, name]));
  };
  add('values', values, false);
  add('notValues', notValues, true);
  return found;
}

function attributeOfKey(key: string): RuleAttribute {
  const plain = KEYS[key];
  if (plain !== undefined) return plain;
  // A claim may be a list; so may audiences.
  if (!key.startsWith('request.headers[')) return attribute(key, 'opaque', SEVERAL);
  return attribute(key.toLowerCase(), 'header', HTTP);
}

/** Service accounts are judged as the end of a principal. */
function accountsOf(field: string, values: readonly string[], namespace: string): readonly string[] {
  if (!ACCOUNT_FIELDS.has(field)) return values;
  return values.map((value) => {
    const [first = '', second] = value.split('/');
    return second === undefined ? `*/ns/${namespace}/sa/${first}` : `*/ns/${first}/sa/${second}`;
  });
}

export function clause(
  attribute: RuleAttribute,
  isNegative: boolean,
  values: readonly string[],
  path: readonly (string | number)[],
): RuleClause {
  const patterns = values.flatMap((value) => readPatterns(value, attribute.dialect));
  const exactTexts = new Set(patterns.flatMap(({ form, text }) => (form === 'exact' ? [text] : [])));
  const wild = patterns.filter(({ form }) => form !== 'exact');
  return { attribute, isNegative, patterns, exactTexts, wild, path };
}

function isGiven(values: unknown): values is readonly string[] {
  return Array.isArray(values) && values.length > 0 && values.every((value) => typeof value === 'string');
}
