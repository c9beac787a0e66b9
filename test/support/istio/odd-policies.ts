import fc from 'fast-check';
import { HAS_IPV6 } from './envoy-listener.ts';

/**
 * Policies and requests of one or two fields each, with the values of which two readers make different things: spellings of paths and
 * hosts, empty values and asterisks, headers that come twice, addresses behind proxies.
 */
const HOSTS = [
  'shop',
  'SHOP',
  'shop.a',
  'shop.a:80',
  'shop.a.',
  '*.a',
  'shop*',
  '*',
  '*:80',
  'sh*p',
  '*OP',
  '10.0.0.1',
  '[::1]*',
  '[2001:DB8::1]:80',
  'shop.a:*',
  '*.A:80',
];
const METHODS = ['GET', 'get', 'P*', '*T', '*', 'OPTIONS', 'POST'];
const PATHS = [
  ...[
    '/',
    '/a',
    '/a/',
    '/a*',
    '*/b',
    '*',
    '/A',
    '/a/b',
    '/a/*',
    '*b',
    '/*',
    '**',
    '/a**',
    '*a*',
    'a',
    '/a?x=1',
    '*?x=1',
  ],
  ...[
    '/%C3%A9',
    '/%c3%a9',
    '/a%20b',
    '/a+b',
    '/a;x',
    '/a//b',
    '/a/../b',
    '/a%2Fb',
    '/a%2fb',
    '/a%2F*',
    '/%61',
    '/a%7Eb',
    '/é',
    '/é*',
    '*é',
    '/a%2f*',
    '*%2Fb',
    '/a/.',
    '/a/..',
    '/a/./b',
    '//',
    '/a\\b',
    '/a%5Cb',
  ],
  ...['/{*}', '/a/{*}', '/{**}', '/a/{**}', '/{**}/b', '/a/{*}/b', '/a/{**}/', '/{*}/{**}', '/a/{*}/', '/{*}/b/{**}'],
  ...[
    '/a/{**}/b/c',
    '/{*}',
    '/{**}/',
    '/{*}/',
    '/%C3%A9/{*}',
    '/a%20b/{*}',
    '/a;x/{**}',
    '/{*}/{*}',
    '/.{a',
    '/A/{*}',
  ].filter((path) => !path.includes('{a')),
];
const PRINCIPALS = [
  ...['cluster.local/ns/a/sa/x', 'cluster.local/*', '*/sa/x', '*/ns/a/*', '*', 'cluster.local/ns/a/sa/*', 'cluster.*'],
  ...['cluster.local/ns/*/sa/x', 'cluster.local/ns/ab/sa/y', 'new.example/ns/a/sa/x', '*.example/ns/a/sa/x'],
  ...['new.*/ns/a/sa/x', 'old.example/*', '*example/ns/a/sa/x', 'cluster*/ns/a/sa/x', 'other/ns/a/sa/x', '*/ns/a/sa/x'],
  ...['*cluster.local/ns/a/sa/x', 'old.example/ns/a/sa/x', '*x', 'CLUSTER.local/ns/a/sa/x'],
];
const NAMESPACES = ['a', '*', 'a*', '*b', 'a*b', 'ns', 'sa', 'a.b', 'A', '**', 'a/sa', 'a/sa/x', '.', 'a+'];
const ACCOUNTS = ['x', 'a/x', 'ns/sa', 'ab/x', 'sa/x', 'ns/x', 'X', 'a.b/x', '.'];
const TRUST_DOMAINS = [
  'cluster.local',
  'old.example',
  '*',
  'cluster.*',
  '*.local',
  'cluster',
  '*example',
  'Cluster.local',
  'new.example',
  'other',
];
const BLOCKS = [
  ...[
    '127.0.0.1',
    '127.0.0.0/8',
    '127.0.0.3/31',
    '10.0.0.5/8',
    '10.0.0.1',
    '0.0.0.0/0',
    '::/0',
    '2001:db8::/32',
    '::1',
  ],
  ...[
    '::ffff:10.0.0.1',
    '::ffff:10.0.0.0/104',
    '::ffff:0:0/96',
    '1.2.3.4',
    '10.0.0.1/32',
    '2001:DB8::1',
    '::ffff:127.0.0.1',
    '2001:db8:0::/48',
    '2001:0db8:0000:0000:0000:0000:0000:0001/128',
    '2001:db8::/127',
    '::/1',
    '8000::/1',
    '::1/64',
    '0.0.0.0/1',
    '128.0.0.0/1',
    '10.0.0.0/9',
    '10.1.2.3/31',
  ],
];
const WORDS = [
  'red',
  '*',
  'red*',
  '*d',
  '*re*',
  're*d',
  '**',
  'red,blue',
  '*,blue',
  '*,*',
  'RED',
  'red ',
  ' ',
  ',',
  'blue',
];
const PORTS = ['80', '8080', '080', '65535', '9090'];
const NAMES = ['api.example', 'API.example', '*.example', 'api*', '*', 'api'];
const REQUEST_PRINCIPALS = [
  '*',
  'https://id/u1',
  'https://id*',
  '*u1',
  'https://id/*',
  '*/u1',
  'id/*',
  '*id/u1',
  'id',
  'https://id/b/u1',
  '/u1',
  'id/',
];
const CLAIM_WORDS = ['red', '*', 'red*', '*d', 'blue', 'red blue', '7', 'true', 'u1', 'https://id', '*red*', 're*d'];

function lists<Name extends string>(fields: { readonly [name in Name]: readonly string[] }) {
  const choices = Object.entries<readonly string[]>(fields).flatMap(([name, values]) => [
    [name, values] as const,
    [`not${name.charAt(0).toUpperCase()}${name.slice(1)}`, values] as const,
  ]);
  const one = fc
    .constantFrom(...choices)
    .chain(([name, values]) =>
      fc.array(fc.constantFrom(...values), { minLength: 1, maxLength: 3 }).map((chosen) => [name, chosen] as const),
    );
  return fc.array(one, { minLength: 1, maxLength: 2 }).map((entries) => Object.fromEntries(entries));
}

export const source = fc
  .oneof(
    lists({
      principals: PRINCIPALS,
      namespaces: NAMESPACES,
      trustDomains: TRUST_DOMAINS,
      requestPrincipals: REQUEST_PRINCIPALS,
    }),
    lists({ ipBlocks: BLOCKS, remoteIpBlocks: BLOCKS }),
    lists({ serviceAccounts: ACCOUNTS, ipBlocks: BLOCKS }),
  )
  .map((given) => ({ source: given }));
export const operation = fc
  .oneof(lists({ hosts: HOSTS, methods: METHODS }), lists({ paths: PATHS }), lists({ ports: PORTS, paths: PATHS }))
  .map((given) => ({ operation: given }));
/** Those of several fields Envoy makes one, but for two. */
const LISTED_HEADERS = [
  'user-agent',
  'content-type',
  'via',
  'x-forwarded-host',
  'accept',
  'origin',
  'authorization',
  'accept-language',
  'cache-control',
  'x-real-ip',
];
const KEYS: readonly (readonly [string, readonly string[]])[] = [
  ...['x-a', 'X-A', 'cookie', 'x-b'].map((name) => [`request.headers[${name}]`, WORDS] as const),
  ...LISTED_HEADERS.map((name) => [`request.headers[${name}]`, [...WORDS, 'red,*', 'blue,red']] as const),
  ['request.headers[:authority]', HOSTS],
  ['request.headers[host]', HOSTS],
  ['request.headers[Host]', HOSTS],
  ['request.headers[:method]', METHODS],
  ['source.ip', BLOCKS],
  ['remote.ip', BLOCKS],
  ['destination.ip', BLOCKS],
  ['destination.port', PORTS],
  ['connection.sni', NAMES],
  ['source.principal', PRINCIPALS],
  ['source.namespace', NAMESPACES],
  ['source.serviceAccount', ACCOUNTS],
  ['source.trustDomain', TRUST_DOMAINS],
  ['request.auth.principal', REQUEST_PRINCIPALS],
  ['request.auth.audiences', CLAIM_WORDS],
  ['request.auth.presenter', CLAIM_WORDS],
  ...[
    '[role]',
    '[scope]',
    '[realm][roles]',
    '[realm]',
    '[permission]',
    '[aud]',
    '[iss]',
    '[deep][a][b]',
    '[sub]',
    '[azp]',
    '[realm][permission]',
    '[a.b]',
    '[deep][a]',
  ].map((path) => [`request.auth.claims${path}`, CLAIM_WORDS] as const),
];
export const condition = fc.constantFrom(...KEYS).chain(([key, values]) => {
  const some = fc.array(fc.constantFrom(...values), { minLength: 1, maxLength: 2 });
  return fc.oneof(
    some.map((chosen) => ({ key, values: chosen })),
    some.map((chosen) => ({ key, notValues: chosen })),
  );
});

const rule = fc.oneof(
  source.map((one) => ({ from: [one] })),
  operation.map((one) => ({ to: [one] })),
  condition.map((one) => ({ when: [one] })),
  fc.tuple(operation, condition).map(([to, when]) => ({ to: [to], when: [when] })),
  fc.tuple(source, condition).map(([from, when]) => ({ from: [from], when: [when] })),
);

export const oddPolicies = fc
  .array(
    fc.record({
      namespace: fc.constantFrom('a', 'b'),
      action: fc.constantFrom('ALLOW', 'ALLOW', 'DENY'),
      isOnTrial: fc.nat(15).map((chance) => chance === 0),
      rules: fc.array(rule, { minLength: 1, maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 2 },
  )
  .map((policies) => policies.map((policy, index) => ({ ...policy, name: `p${index}` })));

/** A request as it goes out; headers flat. */
export interface OddRequest {
  readonly caller: string | undefined;
  readonly isTcp: boolean;
  readonly isHttp2: boolean;
  /** Whether a line of a batch says the client's address, in place of leaving it to the headers. */
  readonly saysRemoteIp: boolean;
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly port: number;
  readonly sni: string | undefined;
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly headers: readonly string[];
  readonly claims: { readonly [name: string]: unknown } | undefined;
}

const word = fc.constantFrom(
  'red',
  'blue;red',
  'xred',
  '*',
  '"red"',
  '',
  'red,blue',
  'RED',
  'blue',
  'redder',
  '  red  ',
  ',',
);
const claim = fc.oneof(
  fc.constantFrom('red', 'blue', '', 'red blue', ' blue  red', 'redder', 'red\tblue', 'true', '7'),
  fc.array(fc.constantFrom<unknown>('red', 'blue', 'red blue', '', 7, true, null, ['red'], {}), { maxLength: 3 }),
  fc.constantFrom<unknown>(
    7,
    true,
    null,
    {},
    { roles: 'red' },
    { roles: ['blue', 'red'] },
    { a: { b: 'red' } },
    { a: { b: ['red', 7] } },
    { a: 'red' },
    { permission: 'red blue' },
    7.5,
    false,
  ),
);
const claims = fc.record(
  {
    iss: fc.constantFrom('https://id', 'https://id/b', 'id'),
    sub: fc.constantFrom('u1', 'u2', 'b/u1'),
    aud: fc.constantFrom<unknown>('red', ['red', 'blue'], ['blue'], [], '', 'red blue'),
    ...{ 'a.b': claim, azp: claim, role: claim, scope: claim, permission: claim, realm: claim, deep: claim },
  },
  { requiredKeys: [] },
);

const SOURCES_4 = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.1.2.3'];
const CALLED_4 = ['10.0.0.1', '10.1.2.3', '127.0.0.1', '192.168.1.1'];
const CALLED_6 = ['2001:db8::1', '2001:db8:8000::1', '::1', 'fd00::5'];

export const oddRequest: fc.Arbitrary<OddRequest> = fc
  .record({
    caller: fc.constantFrom(
      ...['cluster.local/ns/a/sa/x', 'cluster.local/ns/ab/sa/y', 'old.example/ns/a/sa/x', 'cluster.local/ns/ns/sa/sa'],
      ...['cluster.local/ns/sa/sa/x', 'cluster.local/ns/a.b/sa/x', 'cluster.local/ns/a/sa/sa', undefined],
      ...['new.example/ns/a/sa/x', 'other/ns/a/sa/x', 'new.example/ns/ab/sa/y'],
    ),
    isTcp: fc.nat(5).map((chance) => chance === 0),
    addresses: fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ sourceIp: fc.constantFrom(...SOURCES_4), destinationIp: fc.constantFrom(...CALLED_4) }),
      },
      {
        weight: HAS_IPV6 ? 1 : 0,
        arbitrary: fc.record({ sourceIp: fc.constant('::1'), destinationIp: fc.constantFrom(...CALLED_6) }),
      },
    ),
    port: fc.constantFrom(80, 8080, 9090, 65535),
    sni: fc.constantFrom('api.example', 'API.example', 'Api', undefined),
    method: fc.constantFrom('GET', 'POST', 'PUT', 'OPTIONS', 'PATCH', 'DELETE'),
    target: fc.constantFrom(
      ...['/', '/a', '/a/', '/a/b', '/A', '/a/b/', '/a/x/b', '/a/b/c', '/%C3%A9', '/%61', '/a%20b', '/a+b', '/a;x'],
      ...['/a?x=1', '/a/?q', '/a/b?y=/a', '/x?/a', '/a//b', '/a/./b', '/a/../b', '/a%2Fb', '/a*', '/a/*', '/~a'],
      ...[
        '/a%7Eb',
        '/a~b',
        '/a.b',
        '/..',
        '/%2e%2e/a',
        '/a\\b',
        '/a%25b',
        '/a%2A',
        '/b',
        '/ab',
        '/a;x/b',
        '/a%20b/c',
        '/?',
        '//',
        '/a%5Cb',
      ],
      ...[
        '/a|b',
        '/a/%7Bx%7D',
        '/a/x%2F',
        "/a'b",
        '/a/!$&()',
        '/a/b;c=d,e',
        '/a/"',
        '/a/[x]',
        '/a/{x}',
        '/a/x^',
        '/a/%',
        '/a/%zz',
        '/%c3%a9',
        '/%C3%a9',
        '/a%2fb',
        '/a%2F',
        '/a/b%2F',
        '/a%5cb',
        '/a///b',
        '/a/..//b',
        '/a/.%2e/b',
        '/a%2f..%2fb',
        '/a/b/..',
        '/a/b/.',
        '/a%00',
        '/%25%32%66',
        '/a%23b',
        '/a%3Fb',
        '/A/%C3%A9b',
        '/%c3%a9?x=%2f',
        '/é',
        '/a:b@c',
        '*',
      ],
    ),
    host: fc.constantFrom(
      'shop',
      'Shop',
      'shop.a',
      'shop.a:80',
      'SHOP.A:80',
      'shop.a.',
      '10.0.0.1:80',
      '10.0.0.1',
      '[::1]:80',
      '[2001:db8::1]:80',
      '[::1]',
      'shop.a:8080',
      'xshop',
      '',
    ),
    headers: fc
      .array(
        fc.oneof(
          fc.tuple(fc.constantFrom('x-a', 'X-A', 'x-b', 'cookie', 'Cookie'), word),
          fc.tuple(fc.constantFrom(...LISTED_HEADERS), word),
          fc.tuple(
            fc.constant('x-forwarded-for'),
            fc.constantFrom(
              ...[
                '10.0.0.1',
                '1.2.3.4, 10.0.0.1',
                '10.0.0.1,1.2.3.4',
                ' 10.0.0.1 ',
                '10.0.0.1,',
                '',
                'unknown',
                '10.0.0.1:80',
              ],
              ...['2001:db8::1', '[2001:db8::1]', '10.0.0.01', '1.2.3.4,unknown', '127.0.0.1', '[2001:db8::1]:8080'],
            ),
          ),
        ),
        { maxLength: 3 },
      )
      .map((pairs) => pairs.flat()),
    claims: fc.oneof(claims, fc.constant(undefined)),
    isHttp2: fc.nat(3).map((chance) => chance === 0),
    saysRemoteIp: fc.boolean(),
    oddMethod: fc.constantFrom('get', 'Post', 'PURGE', 'g*', undefined, undefined, undefined),
  })
  .map(({ addresses, oddMethod, ...rest }) => {
    const { isHttp2, host, method } = rest;
    // Envoy's reader of HTTP/1 takes no other methods than those that it knows, and that of HTTP/2 no empty authority
    const taken = isHttp2
      ? { method: oddMethod ?? method, host: host === '' ? 'shop' : host, headers: withoutSecondFields(rest.headers) }
      : {};
    return { ...addresses, ...rest, ...taken };
  });

/** Node sends no second field of a header that has one value over HTTP/2. */
function withoutSecondFields(headers: readonly string[]): string[] {
  const seen = new Set<string>();
  return headers.flatMap((name, index) => {
    if (index % 2 === 1 || (LISTED_HEADERS.includes(name) && seen.has(name))) return [];
    seen.add(name);
    return [name, headers[index + 1] ?? ''];
  });
}
