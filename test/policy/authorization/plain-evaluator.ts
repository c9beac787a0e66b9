import { BlockList, isIPv6 } from 'node:net';
import { isJoinedHeader } from '#policy/http/joined-header.ts';
import type { AuthorizationRule } from '#policy/resource/kinds/authorization-rule.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';

/** A policy that binds the workload. */
export interface PlainPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly action: 'ALLOW' | 'DENY' | 'AUDIT';
  readonly isOnTrial: boolean;
  readonly rules: readonly AuthorizationRule[];
}

/** The rule that decided; both undefined: none did. */
export interface PlainDecision {
  readonly kind: 'allow' | 'deny';
  readonly policy: string | undefined;
  readonly rule: number | undefined;
}

type Test = (value: string) => boolean;
type Values = readonly string[] | undefined;
/** True where a value of the policy matches the request; undefined: only HTTP has such a thing, and this is none. */
type Field = readonly [values: Values, notValues: Values, matches: Test | undefined];

/** What Istio's documents and its translation to Envoy say, rule by rule, with no thought of speed. */
export function evaluatePlainly(
  policies: readonly PlainPolicy[],
  request: AuthorizationRequest,
  isAllowedByDefault: boolean,
): PlainDecision {
  const inForce = policies.filter(({ isOnTrial }) => !isOnTrial);
  const denial = firstMatch(inForce, 'DENY', request);
  if (denial !== undefined) return { kind: 'deny', ...denial };
  const allowance = firstMatch(inForce, 'ALLOW', request);
  if (allowance !== undefined) return { kind: 'allow', ...allowance };
  const isAllowed = isAllowedByDefault && !inForce.some(({ action }) => action === 'ALLOW');
  return { kind: isAllowed ? 'allow' : 'deny', policy: undefined, rule: undefined };
}

/** The first rule of an action that matches. */
export function firstMatch(
  policies: readonly PlainPolicy[],
  action: PlainPolicy['action'],
  request: AuthorizationRequest,
): { readonly policy: string; readonly rule: number } | undefined {
  for (const { namespace, name, action: own, rules } of policies) {
    if (own !== action) continue;
    for (const [rule, given] of rules.entries()) {
      if (matchesRule(given, action, namespace, request)) return { policy: `${namespace}/${name}`, rule };
    }
  }
  return undefined;
}

function matchesRule(
  rule: AuthorizationRule,
  action: PlainPolicy['action'],
  policyNamespace: string,
  request: AuthorizationRequest,
): boolean {
  const sources = (rule.from ?? []).map(({ source }) => sourceFields(source, policyNamespace, request));
  const operations = (rule.to ?? []).map(({ operation }) => operationFields(operation, request));
  const conditions = (rule.when ?? []).map(({ key, values, notValues }): Field => {
    return [values, notValues, conditionTest(key, policyNamespace, request)];
  });
  const fields = [...sources.flat(), ...operations.flat(), ...conditions];
  const isBeyondTcp = fields.some(
    ([values, notValues, matches]) => matches === undefined && isGiven(values, notValues),
  );
  if (action === 'ALLOW' && isBeyondTcp) return false;
  const holds = ([values = [], notValues = [], matches]: Field) =>
    matches === undefined || ((values.length === 0 || values.some(matches)) && !notValues.some(matches));
  return (
    (sources.length === 0 || sources.some((source) => source.every(holds))) &&
    (operations.length === 0 || operations.some((operation) => operation.every(holds))) &&
    conditions.every(holds)
  );
}

function isGiven(...lists: readonly Values[]): boolean {
  return lists.some((list) => list !== undefined && list.length > 0);
}

type Source = NonNullable<AuthorizationRule['from']>[number]['source'];
type Operation = NonNullable<AuthorizationRule['to']>[number]['operation'];

function sourceFields(source: Source, policyNamespace: string, request: AuthorizationRequest): readonly Field[] {
  const test = (key: string) => conditionTest(key, policyNamespace, request);
  return [
    [source.principals, source.notPrincipals, test('source.principal')],
    [source.requestPrincipals, source.notRequestPrincipals, test('request.auth.principal')],
    [source.trustDomains, source.notTrustDomains, test('source.trustDomain')],
    [source.namespaces, source.notNamespaces, test('source.namespace')],
    [source.serviceAccounts, source.notServiceAccounts, test('source.serviceAccount')],
    [source.ipBlocks, source.notIpBlocks, test('source.ip')],
    [source.remoteIpBlocks, source.notRemoteIpBlocks, test('remote.ip')],
  ];
}

function operationFields(operation: Operation, request: AuthorizationRequest): readonly Field[] {
  const { host, method, path, port } = request;
  const isHttp = method !== undefined;
  return [
    [
      operation.hosts,
      operation.notHosts,
      http(isHttp, (value) => matchesHeader(value.toLowerCase(), host?.toLowerCase())),
    ],
    [operation.methods, operation.notMethods, http(isHttp, (value) => matchesHeader(value, method))],
    [operation.paths, operation.notPaths, http(isHttp, (value) => matchesPath(value, path ?? ''))],
    [operation.ports, operation.notPorts, (value) => Number(value) === port],
  ];
}

function conditionTest(key: string, policyNamespace: string, request: AuthorizationRequest): Test | undefined {
  const { source, claims } = request;
  const isHttp = request.method !== undefined;
  const [, header] = /^request\.headers\[(.*)\]$/.exec(key) ?? [];
  if (header !== undefined)
    return http(isHttp, (value) => headersOf(request, header).some((one) => matchesHeader(value, one)));
  const [, path] = /^request\.auth\.claims\[(.*)\]$/.exec(key) ?? [];
  if (path !== undefined) return http(isHttp, (value) => matchesClaim(value, claimAt(claims?.all, path.split(']['))));
  switch (key) {
    case 'source.principal':
      return (value) => matchesText(value, source?.principal);
    case 'source.trustDomain':
      return (value) => matchesText(value, source?.trustDomain);
    case 'source.namespace':
      return (value) => source !== null && new RegExp(`^.*/ns/${value.replaceAll('*', '.*')}/.*$`).test(source.uri);
    case 'source.serviceAccount':
      return (value) => {
        const account = value.includes('/') ? value : `${policyNamespace}/${value}`;
        return source !== null && account === `${source.namespace}/${source.serviceAccount}`;
      };
    case 'source.ip':
      return (value) => isInBlock(value, request.sourceIp);
    case 'remote.ip':
      return (value) => isInBlock(value, request.remoteIp);
    case 'destination.ip':
      return (value) => isInBlock(value, request.destinationIp);
    case 'destination.port':
      return (value) => Number(value) === request.port;
    case 'connection.sni':
      return (value) => matchesText(value, request.sni?.toLowerCase());
    case 'request.auth.principal':
      return http(isHttp, (value) => matchesRequestPrincipal(value, claims?.all));
    case 'request.auth.audiences':
      return http(isHttp, (value) => matchesClaim(value, claims?.all.aud));
    case 'request.auth.presenter':
      return http(isHttp, (value) => matchesClaim(value, claims?.all.azp));
    default:
      throw new Error(`a key that is not generated: ${key}`);
  }
}

function http(isHttp: boolean, test: Test): Test | undefined {
  return isHttp ? test : undefined;
}

/** Exact, `prefix*`, `*suffix`, `*`: at least one character. */
function matchesText(value: string, text: string | undefined): boolean {
  if (text === undefined) return false;
  if (value === '*') return text !== '';
  if (value.startsWith('*')) return text.endsWith(value.slice(1));
  return value.endsWith('*') ? text.startsWith(value.slice(0, -1)) : text === value;
}

/** As `matchesText`, with `*` for any value at all. */
function matchesHeader(value: string, text: string | undefined): boolean {
  return value === '*' ? text !== undefined : matchesText(value, text);
}

function matchesPath(value: string, path: string): boolean {
  if (!/\{\*\*?\}/.test(value)) return matchesText(value, path);
  const segment = "[a-zA-Z0-9*\\-._~%!$&'()+,;:@=]";
  const pieces = value
    .split(/(\{\*\*?\})/)
    .map((piece) => (piece === '{*}' ? `${segment}+` : piece === '{**}' ? `(${segment}|/)*` : RegExp.escape(piece)));
  return new RegExp(`^${pieces.join('')}$`).test(path);
}

function matchesClaim(value: string, claim: unknown): boolean {
  const texts: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
  return texts.some((text) => typeof text === 'string' && matchesText(value, text));
}

function claimAt(claims: unknown, path: readonly string[]): unknown {
  let found = claims;
  for (const name of path) found = isObject(found) ? found[name] : undefined;
  const isList = path.length === 1 && (path[0] === 'scope' || path[0] === 'permission') && typeof found === 'string';
  return isList ? String(found).split(' ').filter(Boolean) : found;
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Issuer and subject are divided by the last slash, and each is compared by itself. */
function matchesRequestPrincipal(value: string, claims: { readonly [name: string]: unknown } | undefined): boolean {
  const { iss, sub } = claims ?? {};
  if (typeof iss !== 'string' || typeof sub !== 'string') return false;
  const slash = value.lastIndexOf('/');
  if (value === '*') return iss !== '' && sub !== '';
  if (slash === -1) {
    if (value.startsWith('*')) return iss !== '' && sub.endsWith(value.slice(1));
    return value.endsWith('*') ? iss.startsWith(value.slice(0, -1)) && sub !== '' : iss === value && sub === '';
  }
  const issuer = value.slice(0, slash);
  const subject = value.slice(slash + 1);
  if (value.startsWith('*')) return matchesText(issuer, iss) && subject === sub;
  return issuer === iss && matchesText(subject, sub);
}

function headersOf({ headers, method, host }: AuthorizationRequest, name: string): readonly (string | undefined)[] {
  if (name === ':method') return [method];
  if (/^(:authority|host)$/i.test(name)) return [host];
  const fields = headers.filter(
    (_, index) => index % 2 === 1 && headers[index - 1]?.toLowerCase() === name.toLowerCase(),
  );
  // Envoy makes one value of the fields of these
  if (fields.length < 2 || !isJoinedHeader(name.toLowerCase())) return fields;
  return [fields.filter((field) => field !== '').join(',')];
}

function isInBlock(block: string, address: string | undefined): boolean {
  if (address === undefined) return false;
  const [base = '', bits] = block.split('/');
  const plain = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  if (isIPv6(base) !== isIPv6(plain)) return false;
  const family = isIPv6(base) ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  if (bits === undefined) list.addAddress(base, family);
  else list.addSubnet(base, Number(bits), family);
  return list.check(plain, family);
}
