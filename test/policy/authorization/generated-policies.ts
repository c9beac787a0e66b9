import fc from 'fast-check';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Resource } from '#policy/resource/kind.ts';
import type { AuthorizationPolicySpec } from '#policy/resource/kinds/authorization-policy.ts';
import type { AuthorizationRule } from '#policy/resource/kinds/authorization-rule.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';
import type { PlainPolicy } from './plain-evaluator.ts';

/** Small alphabets, so that rules and requests meet: what is a value of one is near to values of the others. */
const DOMAINS = ['cluster.local', 'old.example'] as const;
const NAMESPACES = ['a', 'b', 'ab', 'ns', 'sa'] as const;
const ACCOUNTS = ['x', 'y'] as const;
const PRINCIPALS = DOMAINS.flatMap((domain) =>
  NAMESPACES.flatMap((namespace) => ACCOUNTS.map((account) => `${domain}/ns/${namespace}/sa/${account}`)),
);
const HOSTS = ['api.example', 'API.example:80', 'shop', 'shop.a'] as const;
const METHODS = ['GET', 'POST', 'PUT'] as const;
const SEGMENTS = ['a', 'b', 'ab', '1'] as const;
const PORTS = [80, 8080, 9090] as const;
const ADDRESSES = [
  '10.0.0.1',
  '10.1.2.3',
  '192.168.1.1',
  '127.0.0.1',
  '127.0.0.2',
  '::ffff:10.0.0.1',
  '2001:db8::1',
  '2001:db8:8000::1',
  '::1',
];
const BLOCKS = [
  ...[
    '10.0.0.1',
    '10.0.0.0/8',
    '10.1.0.0/9',
    '10.1.2.0/23',
    '192.168.1.1/32',
    '127.0.0.2/31',
    '127.0.0.2',
    '0.0.0.0/0',
    '192.0.0.0/3',
  ],
  ...['2001:db8::/32', '2001:db8:8000::/33', '::1', '::/0', '2001:db8::1/127'],
];
const WORDS = ['red', 'blue', 'redder', ''] as const;
const ISSUERS = ['https://id', 'https://id/b', 'id'] as const;
const SUBJECTS = ['u1', 'u2', 'b/u1'] as const;

/** A value, whole or cut, with asterisks at either end. */
function patternOf(values: readonly string[]): fc.Arbitrary<string> {
  const whole = fc.constantFrom(...values.filter((value) => value !== ''));
  const cut = fc.tuple(whole, fc.nat(30), fc.constantFrom('before', 'behind', 'both')).map(([value, at, where]) => {
    const place = at % (value.length + 1);
    if (where === 'before') return `*${value.slice(place)}`;
    return where === 'behind' ? `${value.slice(0, place)}*` : `*${value.slice(place)}*`;
  });
  return fc.oneof(
    { weight: 5, arbitrary: whole },
    { weight: 2, arbitrary: cut },
    { weight: 1, arbitrary: fc.constant('*') },
  );
}

function listOf(value: fc.Arbitrary<string>): fc.Arbitrary<string[]> {
  return fc.oneof(
    { weight: 6, arbitrary: fc.array(value, { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.array(value, { minLength: 10, maxLength: 25 }) },
  );
}

const path = fc
  .array(fc.constantFrom(...SEGMENTS), { minLength: 1, maxLength: 3 })
  .map((parts) => `/${parts.join('/')}`);
const template = fc
  .tuple(
    fc.array(fc.constantFrom(...SEGMENTS, '{*}', '{*}'), { minLength: 1, maxLength: 3 }),
    fc.constantFrom('', '', '/{**}', '/{**}/ab', '/{**}/a/b'),
  )
  .map(([parts, end]) => `/${parts.join('/')}${end}`);
const pathPattern = fc.oneof(
  path,
  template,
  path.chain((one) => patternOf([one])),
);
const claimPaths = ['request.auth.claims[role]', 'request.auth.claims[realm][roles]', 'request.auth.claims[scope]'];
const requestPrincipal = patternOf([
  ...ISSUERS.flatMap((issuer) => SUBJECTS.map((subject) => `${issuer}/${subject}`)),
  ...ISSUERS,
]);

const namespacePattern = fc.constantFrom<string>(...NAMESPACES, 'a*', '*b', '*a', '*', 's*', 'a*b');
const domainPattern = fc.constantFrom('cluster.local', 'old.example', '*.local', 'old*', '*');
const accountPattern = fc.constantFrom('x', 'y', 'a/x', 'b/y', 'ns/x');
const block = fc.constantFrom(...BLOCKS);
const port = fc.constantFrom(...PORTS.map(String), '080');
const word = patternOf([...WORDS]);

/** Fields with their not-forms; each is seldom there, so that rules match now and then. */
function fieldsOf<Name extends string>(lists: { readonly [name in Name]: fc.Arbitrary<string> }) {
  const names = Object.keys(lists) as Name[];
  const both = names.flatMap((name) => [name, `not${name.charAt(0).toUpperCase()}${name.slice(1)}`]);
  const one = fc.constantFrom(...both).chain((field) => {
    const name = names.find(
      (candidate) => field.toLowerCase().endsWith(candidate.toLowerCase()) && field.length - candidate.length <= 3,
    );
    return listOf(name === undefined ? fc.constant('') : lists[name]).map((values) => [field, values] as const);
  });
  return fc
    .array(one, { minLength: 1, maxLength: 2 })
    .map((entries) => Object.fromEntries(entries) as { readonly [field: string]: readonly string[] });
}

const source = fieldsOf({
  principals: patternOf(PRINCIPALS),
  requestPrincipals: requestPrincipal,
  trustDomains: domainPattern,
  namespaces: namespacePattern,
  serviceAccounts: accountPattern,
  ipBlocks: block,
  remoteIpBlocks: block,
});
const operation = fieldsOf({ hosts: patternOf(HOSTS), ports: port, methods: patternOf(METHODS), paths: pathPattern });

const CONDITIONS: readonly (readonly [string, fc.Arbitrary<string>])[] = [
  ['request.headers[x-a]', word],
  ['request.headers[X-B]', word],
  ['request.headers[:method]', patternOf(METHODS)],
  ['source.principal', patternOf(PRINCIPALS)],
  ['source.trustDomain', domainPattern],
  ['source.namespace', namespacePattern],
  ['source.serviceAccount', accountPattern],
  ['source.ip', block],
  ['remote.ip', block],
  ['destination.ip', block],
  ['destination.port', port],
  ['connection.sni', patternOf(HOSTS)],
  ['request.auth.principal', requestPrincipal],
  ['request.auth.audiences', word],
  ['request.auth.presenter', word],
  ...claimPaths.map((key) => [key, word] as const),
];
const condition = fc.constantFrom(...CONDITIONS).chain(([key, value]) =>
  fc.oneof(
    listOf(value).map((values) => ({ key, values })),
    listOf(value).map((notValues) => ({ key, notValues })),
    fc.tuple(listOf(value), listOf(value)).map(([values, notValues]) => ({ key, values, notValues })),
  ),
);

const rule = fc
  .record({
    from: fc.oneof(
      { weight: 2, arbitrary: fc.constant(undefined) },
      {
        weight: 3,
        arbitrary: fc.array(
          source.map((given) => ({ source: given })),
          { minLength: 1, maxLength: 2 },
        ),
      },
      {
        weight: 0,
        arbitrary: fc.array(
          source.map((given) => ({ source: given })),
          { minLength: 12, maxLength: 12 },
        ),
      },
    ),
    to: fc.oneof(
      { weight: 2, arbitrary: fc.constant(undefined) },
      {
        weight: 3,
        arbitrary: fc.array(
          operation.map((given) => ({ operation: given })),
          { minLength: 1, maxLength: 2 },
        ),
      },
    ),
    when: fc.oneof(
      { weight: 2, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.array(condition, { minLength: 1, maxLength: 2 }) },
    ),
  })
  .map((given) => given as unknown as AuthorizationRule);

function policiesOf(count: number, rules: fc.SizeForArbitrary | number): fc.Arbitrary<PlainPolicy[]> {
  const maxLength = typeof rules === 'number' ? rules : 4;
  return fc.array(
    fc.record({
      namespace: fc.constantFrom('a', 'b'),
      name: fc.constantFrom('p', 'q', 'r'),
      action: fc.constantFrom('ALLOW', 'ALLOW', 'ALLOW', 'DENY', 'AUDIT'),
      isOnTrial: fc.nat(7).map((chance) => chance === 0),
      rules: fc.array(rule, { maxLength }),
    }),
    { maxLength: count },
  );
}

/** Policies of all actions, some with so many rules that they are dealt out several times. */
export const generatedPolicies = fc.oneof(
  { weight: 3, arbitrary: policiesOf(3, 2) },
  { weight: 1, arbitrary: policiesOf(4, 30) },
);

const ip = fc.constantFrom(...ADDRESSES, undefined);
const word1 = fc.constantFrom(...WORDS);
const claims = fc
  .record({
    iss: fc.constantFrom(...ISSUERS),
    sub: fc.constantFrom(...SUBJECTS),
    aud: fc.oneof(word1, fc.array(word1, { maxLength: 2 })),
    azp: fc.constantFrom(...WORDS, 7),
    role: fc.oneof(word1, fc.array(fc.oneof(word1, fc.nat(3)), { maxLength: 3 }), fc.constant(true)),
    realm: fc.oneof(fc.record({ roles: fc.array(word1, { maxLength: 2 }) }), word1),
    scope: fc.constantFrom('red', 'red blue', ' blue  redder', ''),
  })
  .map((all) => ({ principal: `${all.iss}/${all.sub}`, audiences: [], presenter: undefined, all }));
const caller = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...PRINCIPALS) },
  { weight: 1, arbitrary: fc.constant(undefined) },
);

export const generatedRequest: fc.Arbitrary<AuthorizationRequest> = fc
  .record({
    caller,
    isTcp: fc.nat(5).map((chance) => chance === 0),
    method: fc.constantFrom(...METHODS),
    path,
    host: fc.constantFrom(...HOSTS, ''),
    headers: fc.array(fc.tuple(fc.constantFrom('x-a', 'X-A', 'x-b'), word1), { maxLength: 3 }),
    port: fc.constantFrom(...PORTS),
    sourceIp: ip,
    remoteIp: ip,
    destinationIp: ip,
    sni: fc.constantFrom(...HOSTS, undefined),
    claims: fc.oneof(claims, fc.constant(undefined)),
  })
  .map(({ caller: name, isTcp, headers, ...rest }) => {
    const [domain = '', , namespace = '', , account = ''] = name?.split('/') ?? [];
    const source = name === undefined ? null : spiffeId(domain, namespace, account);
    if (!isTcp) return { ...rest, source, headers: headers.flat() };
    return { ...rest, source, method: undefined, path: undefined, host: undefined, headers: [], claims: undefined };
  });

export function resourceOf({
  namespace,
  name,
  action,
  rules,
  isOnTrial,
}: PlainPolicy): Resource<AuthorizationPolicySpec> {
  const spec = { action, rules, selector: undefined, targetRef: undefined, targetRefs: undefined };
  return { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', namespace, name, spec, isOnTrial } as never;
}
