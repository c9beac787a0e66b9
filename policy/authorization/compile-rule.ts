import type {
  AuthorizationCondition,
  AuthorizationOperation,
  AuthorizationRule,
  AuthorizationSource,
} from '../resource/kinds/authorization-rule.ts';
import { type ConditionKey, parseConditionKey } from '../resource/kinds/condition-key.ts';
import { claim, header } from './attributes.ts';
import type { Clause } from './clause.ts';
import { ClauseCompiler, type FieldValues, NO_DOMAINS, type RuleScope } from './clause-compiler.ts';

/** A rule as its groups: one of `from`, one of `to`, and all of `when` must hold. An empty group matches anything. */
export interface CompiledRule {
  readonly from: readonly (readonly Clause[])[];
  readonly to: readonly (readonly Clause[])[];
  readonly when: readonly Clause[];
}

export function compileRule(rule: AuthorizationRule, scope: RuleScope, compiler: ClauseCompiler): CompiledRule {
  return {
    from: (rule.from ?? []).map(({ source }) => compileSource(source, scope, compiler)),
    to: (rule.to ?? []).map(({ operation }) => compileOperation(operation, scope, compiler)),
    when: (rule.when ?? []).flatMap((condition) => compileCondition(condition, scope, compiler)),
  };
}

/** Every clause of a rule, for analysis. */
export function compileClauses(rule: AuthorizationRule): readonly Clause[] {
  const { from, to, when } = compileRule(rule, { namespace: '', own: NO_DOMAINS }, new ClauseCompiler());
  return [...from.flat(), ...to.flat(), ...when];
}

function compileSource(source: AuthorizationSource, scope: RuleScope, compiler: ClauseCompiler): readonly Clause[] {
  const given = <Name extends Lists<AuthorizationSource>>(name: Name, notName: Lists<AuthorizationSource>) =>
    ({ field: name, values: source[name], notField: notName, notValues: source[notName] }) satisfies FieldValues;
  return [
    ...compiler.field('principal', 'principals', given('principals', 'notPrincipals'), scope),
    ...compiler.field(
      'requestPrincipal',
      'requestPrincipals',
      given('requestPrincipals', 'notRequestPrincipals'),
      scope,
    ),
    ...compiler.field('trustDomain', 'trustDomains', given('trustDomains', 'notTrustDomains'), scope),
    ...compiler.namespaces(given('namespaces', 'notNamespaces')),
    ...compiler.field('principal', 'serviceAccounts', given('serviceAccounts', 'notServiceAccounts'), scope),
    ...compiler.field('sourceIp', 'addresses', given('ipBlocks', 'notIpBlocks'), scope),
    ...compiler.field('remoteIp', 'addresses', given('remoteIpBlocks', 'notRemoteIpBlocks'), scope),
  ];
}

function compileOperation(
  operation: AuthorizationOperation,
  scope: RuleScope,
  compiler: ClauseCompiler,
): readonly Clause[] {
  const given = (name: Lists<AuthorizationOperation>, notName: Lists<AuthorizationOperation>) =>
    ({ field: name, values: operation[name], notField: notName, notValues: operation[notName] }) satisfies FieldValues;
  return [
    ...compiler.field('host', 'caseless', given('hosts', 'notHosts'), scope),
    ...compiler.field('port', 'ports', given('ports', 'notPorts'), scope),
    ...compiler.field('method', 'headers', given('methods', 'notMethods'), scope),
    ...compiler.field('path', 'paths', given('paths', 'notPaths'), scope),
  ];
}

function compileCondition(
  { key: text, values, notValues }: AuthorizationCondition,
  scope: RuleScope,
  compiler: ClauseCompiler,
): readonly Clause[] {
  const key = parseConditionKey(text);
  if (key === undefined) throw new TypeError(`unchecked condition key ${text}`);
  return compileKey(key, { field: text, values, notField: text, notValues }, scope, compiler);
}

function compileKey(key: ConditionKey, given: FieldValues, scope: RuleScope, compiler: ClauseCompiler) {
  switch (key.kind) {
    case 'header':
      return compiler.named(`header ${key.lowerName}`, () => header(key.lowerName), 'headers', given);
    case 'claim':
      return compiler.named(`claim ${key.names.join('\n')}`, () => claim(key.names), 'texts', given);
    case 'request.auth.principal':
      return compiler.field('requestPrincipal', 'requestPrincipals', given, scope);
    case 'request.auth.audiences':
      return compiler.field('audience', 'texts', given, scope);
    case 'request.auth.presenter':
      return compiler.field('presenter', 'texts', given, scope);
    case 'source.principal':
      return compiler.field('principal', 'principals', given, scope);
    case 'source.trustDomain':
      return compiler.field('trustDomain', 'trustDomains', given, scope);
    case 'source.namespace':
      return compiler.namespaces(given);
    case 'source.serviceAccount':
      return compiler.field('principal', 'serviceAccounts', given, scope);
    case 'source.ip':
      return compiler.field('sourceIp', 'addresses', given, scope);
    case 'remote.ip':
      return compiler.field('remoteIp', 'addresses', given, scope);
    case 'destination.ip':
      return compiler.field('destinationIp', 'addresses', given, scope);
    case 'destination.port':
      return compiler.field('port', 'ports', given, scope);
    case 'connection.sni':
      return compiler.field('sni', 'texts', given, scope);
  }
}

type Lists<Fields> = keyof Fields & string;
