import type { AuthorizationSource } from '../resource/kinds/authorization-rule.ts';
import { type Attribute, type Clause, negativeClause, positiveClause } from './clause.ts';
import { compileIpBlocks } from './compile-ip-blocks.ts';
import { compileGlobs, compilePatterns, type MatchesValue } from './compile-patterns.ts';
import { compilePrincipals, type RuleScope } from './compile-principals.ts';

const NO_IDENTITY = 'the caller has no identity';

/** Attributes of the caller, by their names in `when`. */
export const SOURCE = {
  principal: attribute('source.principal', NO_IDENTITY, ({ source }) => source?.principal),
  namespace: attribute('source.namespace', NO_IDENTITY, ({ source }) => source?.namespace),
  serviceAccount: attribute('source.serviceAccount', NO_IDENTITY, ({ source }) => source?.principal),
  ip: attribute('source.ip', 'the address of the caller is not known', ({ sourceIp }) => sourceIp),
} as const;

function attribute(field: string, absent: string, read: Attribute['read']): Attribute {
  return { field, absent, isHttp: false, read };
}

/** Compiles `from.source`: every clause must be satisfied. */
export function compileSource(source: AuthorizationSource, { namespace, ownDomains }: RuleScope): readonly Clause[] {
  const principals = (values: readonly string[]) => compilePrincipals(values, ownDomains);
  const accounts = (values: readonly string[]) => compileServiceAccounts(values, namespace);
  return [
    ...clauses(SOURCE.principal, 'principals', source.principals, source.notPrincipals, principals),
    ...clauses(SOURCE.namespace, 'namespaces', source.namespaces, source.notNamespaces, compileGlobs),
    ...clauses(SOURCE.serviceAccount, 'serviceAccounts', source.serviceAccounts, source.notServiceAccounts, accounts),
    ...clauses(SOURCE.ip, 'ipBlocks', source.ipBlocks, source.notIpBlocks, compileIpBlocks),
  ];
}

/** The clause of a field and that of its not-form, where they are given. */
export function clauses(
  attribute: Attribute,
  field: string,
  values: readonly string[] | undefined,
  notValues: readonly string[] | undefined,
  compile: (values: readonly string[]) => MatchesValue,
): readonly Clause[] {
  const notField = `not${field.charAt(0).toUpperCase()}${field.slice(1)}`;
  const found: Clause[] = [];
  if (isGiven(values)) found.push(positiveClause({ ...attribute, field }, values, compile(values)));
  if (isGiven(notValues)) found.push(negativeClause({ ...attribute, field: notField }, notValues, compile(notValues)));
  return found;
}

/** An empty list is read as absent, as in Istio. */
export function isGiven(values: readonly string[] | undefined): values is readonly string[] {
  return values !== undefined && values.length > 0;
}

/** NAME (in the namespace of the policy) or NAMESPACE/NAME, in any trust domain; judges a principal. */
export function compileServiceAccounts(values: readonly string[], namespace: string): MatchesValue {
  const endings = values.map((value) => {
    const [first = '', second] = value.split('/');
    return second === undefined ? `/ns/${namespace}/sa/${first}` : `/ns/${first}/sa/${second}`;
  });
  return compilePatterns(endings.map((ending) => `*${ending}`));
}
