import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';

/** What one rule says, by its number: all forms of matching take turns. */
const FORMS: readonly ((index: number) => object)[] = [
  (index) => ({ from: principals(index), to: operations({ methods: ['GET'], paths: [`/exact/${index}`] }) }),
  (index) => ({ from: namespaces(index), to: operations({ paths: [`/prefix/${index}/*`], methods: ['GET', 'POST'] }) }),
  (index) => ({ from: principals(index), to: operations({ paths: [`*/suffix-${index}`] }) }),
  (index) => ({ from: namespaces(index), to: operations({ paths: [`/template/{*}/items/${index}/{**}`] }) }),
  (index) => ({
    from: principals(index),
    to: operations({ notPaths: [`/secret/${index}/*`], notMethods: ['DELETE'] }),
  }),
  (index) => ({
    from: [{ source: { ipBlocks: [block(index)], notNamespaces: ['test'] } }],
    to: operations({ ports: ['8080'] }),
  }),
  (index) => ({
    from: namespaces(index),
    when: [{ key: 'request.headers[x-tenant]', values: [`tenant-${index}`, `guest-${index}-*`] }],
  }),
  (index) => ({ when: [{ key: 'request.auth.claims[groups]', values: [`group-${index}`], notValues: ['banned'] }] }),
  (index) => ({
    from: principals(index),
    to: operations({ hosts: [`orders-${index}.example`], notPaths: ['/admin*'] }),
  }),
];

/** Rules that share a policy, as people write them. */
const RULES_A_POLICY = 20;
/** Of so many rules one is of a DENY policy, however many there are. */
const RULES_A_DENIAL = 10;
const isDenial = (index: number) => index % RULES_A_DENIAL === RULES_A_DENIAL - 1;

/**
 * Beginnings of sets of so many rules. Of ten rules one is of a DENY policy, and of one form: only several such sets have the mix of forms
 * that many rules have.
 */
export function beginnings(count: number): readonly number[] {
  return count > RULES_A_DENIAL ? [0] : FORMS.map((_, index) => index * RULES_A_DENIAL);
}

function numbered(count: number, from: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}

/** Policies with `count` rules altogether, numbered on from `from`. */
export function benchPolicies(count: number, from = 0): readonly object[] {
  const numbers = numbered(count, from);
  const denials = numbers.filter(isDenial);
  const allowances = numbers.filter((index) => !isDenial(index));
  return [...policiesOf('DENY', denials), ...policiesOf('ALLOW', allowances)];
}

function policiesOf(action: string, numbers: readonly number[]): readonly object[] {
  return Array.from({ length: Math.ceil(numbers.length / RULES_A_POLICY) }, (_, index) => {
    const rules = numbers.slice(index * RULES_A_POLICY, (index + 1) * RULES_A_POLICY).map(ruleOf);
    const metadata = { name: `${action.toLowerCase()}-${index}`, namespace: 'shop' };
    return { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata, spec: { action, rules } };
  });
}

/** By what becomes of them. */
export interface BenchRequests {
  readonly [outcome: string]: readonly AuthorizationRequest[];
}

/**
 * Requests for rules all over the policies: of each form some that match and some that miss, some that a DENY policy refuses, and some
 * that are far from any. As many under few rules as under many, each an object of its own, so that the requests' own memory costs alike.
 */
export function benchRequests(count: number, from = 0): BenchRequests {
  const numbers = numbered(count, from);
  const allowed = FORMS.flatMap((_, form) =>
    spread(numbers.filter((index) => index % FORMS.length === form && !isDenial(index))),
  );
  return {
    match: allowed.map(matching),
    deny: FORMS.flatMap(() => spread(numbers.filter(isDenial))).map(matching),
    miss: allowed.map((index) => ({
      ...matching(index),
      source: STRANGER,
      headers: ['x-tenant', 'nobody'],
      claims: undefined,
      sourceIp: '172.16.0.1',
    })),
    stranger: allowed.map((index) =>
      index % 2 === 0 ? { ...BASE, source: null } : { ...BASE, path: `/nothing/like/${index}`, method: 'DELETE' },
    ),
  };
}

/** Of a form: from the first rule to the last. */
const REQUESTS_A_FORM = 8;

function spread(numbers: readonly number[]): readonly number[] {
  return Array.from(
    { length: REQUESTS_A_FORM },
    (_, part) => numbers[Math.floor((part * numbers.length) / REQUESTS_A_FORM)] ?? 0,
  );
}

const STRANGER = spiffeId('cluster.local', 'elsewhere', 'nobody');
const BASE: AuthorizationRequest = {
  source: STRANGER,
  method: 'GET',
  path: '/',
  host: 'orders.shop',
  headers: ['host', 'orders.shop', 'user-agent', 'bench', 'accept', '*/*', 'x-request-id', '1'],
  port: 8080,
  sourceIp: '172.16.0.1',
  remoteIp: '172.16.0.1',
  sni: undefined,
  claims: undefined,
};

function ruleOf(index: number): object {
  return FORMS[index % FORMS.length]?.(index) ?? {};
}

function matching(index: number): AuthorizationRequest {
  const byAccount = { ...BASE, source: spiffeId('cluster.local', 'shop', `account-${index}`) };
  const byNamespace = { ...BASE, source: spiffeId('cluster.local', `team-${index % 50}`, 'web') };
  const of: readonly AuthorizationRequest[] = [
    { ...byAccount, path: `/exact/${index}` },
    { ...byNamespace, path: `/prefix/${index}/and/more` },
    { ...byAccount, path: `/any/where/suffix-${index}` },
    { ...byNamespace, path: `/template/x/items/${index}/parts/7` },
    { ...byAccount, path: '/public/page' },
    { ...BASE, sourceIp: block(index).replace('.0/24', '.9') },
    { ...byNamespace, headers: [...BASE.headers, 'x-tenant', `tenant-${index}`] },
    { ...BASE, claims: claimsOf([`other`, `group-${index}`]) },
    { ...byAccount, host: `orders-${index}.example` },
  ];
  return of[index % FORMS.length] ?? BASE;
}

function claimsOf(groups: readonly string[]) {
  const all = { iss: 'https://id.example', sub: 'u1', aud: ['orders'], groups };
  return { principal: 'https://id.example/u1', audiences: ['orders'], presenter: undefined, all };
}

function principals(index: number): readonly object[] {
  return [{ source: { principals: [`cluster.local/ns/shop/sa/account-${index}`] } }];
}

function namespaces(index: number): readonly object[] {
  return [{ source: { namespaces: [`team-${index % 50}`] } }];
}

function operations(operation: object): readonly object[] {
  return [{ operation }];
}

function block(index: number): string {
  return `10.${(index >> 8) & 255}.${index & 255}.0/24`;
}
