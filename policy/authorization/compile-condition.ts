import { headerValue } from '../http/flat-headers.ts';
import { isSecretName } from '../http/is-secret-name.ts';
import type { AuthorizationCondition } from '../resource/kinds/authorization-rule.ts';
import { type ConditionKey, parseConditionKey } from '../resource/kinds/condition-key.ts';
import { type Attribute, type Clause, negativeClause, positiveClause } from './clause.ts';
import { compileIpBlocks } from './compile-ip-blocks.ts';
import { compilePorts, OPERATION } from './compile-operation.ts';
import { compileGlobs, compilePatterns, type MatchesValue } from './compile-patterns.ts';
import { compilePrincipals, type RuleScope } from './compile-principals.ts';
import { compileServiceAccounts, isGiven, SOURCE } from './compile-source.ts';

/** How Envoy's header matchers, and so Istio's policies, see several fields of one name. */
const ENVOY_SEPARATOR = ',';

/** Compiles a condition of `when`: both of its clauses must be satisfied. */
export function compileCondition(condition: AuthorizationCondition, scope: RuleScope): readonly Clause[] {
  const key = parseConditionKey(condition.key);
  if (key === undefined) throw new TypeError(`unchecked condition key ${condition.key}`);
  const attribute = { ...attributeOf(key), field: condition.key };
  const compile = compilerOf(key, scope);
  const { values, notValues } = condition;
  const found: Clause[] = [];
  if (isGiven(values)) found.push(positiveClause(attribute, values, compile(values)));
  if (isGiven(notValues)) found.push(negativeClause(attribute, notValues, compile(notValues)));
  return found;
}

function attributeOf(key: ConditionKey): Attribute {
  switch (key.kind) {
    case 'header':
      return headerAttribute(key.lowerName);
    case 'source.principal':
      return SOURCE.principal;
    case 'source.namespace':
      return SOURCE.namespace;
    case 'source.serviceAccount':
      return SOURCE.serviceAccount;
    case 'source.ip':
      return SOURCE.ip;
    case 'destination.port':
      return OPERATION.port;
    case 'destination.ip':
      return {
        field: 'destination.ip',
        isHttp: false,
        absent: 'the destination address is not known',
        read: ({ destinationIp }) => destinationIp,
      };
  }
}

function compilerOf(
  key: ConditionKey,
  { namespace, ownDomains }: RuleScope,
): (values: readonly string[]) => MatchesValue {
  switch (key.kind) {
    case 'header':
      return compileHeaderPatterns;
    case 'source.principal':
      return (values) => compilePrincipals(values, ownDomains);
    case 'source.namespace':
      return compileGlobs;
    case 'source.serviceAccount':
      return (values) => compileServiceAccounts(values, namespace);
    case 'source.ip':
    case 'destination.ip':
      return compileIpBlocks;
    case 'destination.port':
      return compilePorts;
  }
}

/** `*` is satisfied by a header that is there, even with an empty value (Envoy's present_match). */
function compileHeaderPatterns(values: readonly string[]): MatchesValue {
  return values.includes('*') ? () => true : compilePatterns(values);
}

function headerAttribute(lowerName: string): Attribute {
  const isAuthority = lowerName === 'host' || lowerName === ':authority';
  return {
    field: lowerName,
    isHttp: true,
    absent: 'the request has no such header',
    isSecret: isSecretName(lowerName) && !isAuthority,
    read: (request) => {
      if (isAuthority) return request.host;
      return lowerName === ':method' ? request.method : headerValue(request.headers, lowerName, ENVOY_SEPARATOR);
    },
  };
}
