import t from 'tap';
import { compileExternal } from '#policy/authorization/compile-external.ts';
import { compileProviders } from '#policy/authorization/provider.ts';
import { compileConditions } from '#policy/condition/compile-condition.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { namespace: 'shop', labels: {} };

const custom = (name: string, provider: string, rules: string) => `---
apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: shop}
spec: {action: CUSTOM, provider: {name: ${provider}}, rules: ${rules}}
`;

const defaults = (providers: string) => `---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {extensionProviders: ${providers}}
`;

const load = (text: string) => loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);

function compiled(text: string, conditions: readonly string[] = []) {
  const all = load(text).sourced.map(({ any }) => any);
  const policies = all.flatMap((any) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []));
  const specs = all.flatMap((any) => (any.type === 'MeshDefaults' ? (any.resource.spec.extensionProviders ?? []) : []));
  return compileExternal(
    policies,
    WORKLOAD,
    MESH,
    compileProviders(specs),
    { names: [] },
    compileConditions([...conditions]),
    'Refuse',
  );
}

const request = (path: string | undefined): AuthorizationRequest => ({
  ...{ source: null, method: path === undefined ? undefined : 'GET', path, host: undefined, headers: [], port: 8080 },
  ...{ sourceIp: undefined, remoteIp: undefined, sni: undefined, claims: undefined },
});

t.test('matches are counted, of the rule that has a provider asked', async (t) => {
  const providers = defaults('[{name: a, envoyExtAuthzGrpc: {service: a, port: 1}}]');
  const rules = '[{to: [{operation: {paths: [/a]}}]}, {to: [{operation: {paths: ["/*"]}}]}]';
  const external = compiled(custom('ask', 'a', rules) + providers);
  for (const path of ['/a', '/a', '/b']) external?.matches(request(path));
  t.match(
    external?.rules.map(({ index, tally: { policy, matches } }) => [policy, index, matches]),
    [
      ['shop/ask', 0, 2],
      ['shop/ask', 1, 1],
    ],
  );
});

t.test('no CUSTOM policy: there is nothing to match', async (t) => {
  t.equal(compiled(defaults('[{name: a, envoyExtAuthzGrpc: {service: a, port: 1}}]')), undefined);
});

t.test(
  'a provider that nobody has, and a condition that cannot be judged, refuse where the rule matches',
  async (t) => {
    const condition = 'request.headers["x-a"] == "b"';
    const conditional = custom('b', 'a', `[{to: [{operation: {paths: [/c]}}], condition: '${condition}'}]`);
    const rules = compiled(
      defaults('[{name: a, envoyExtAuthzGrpc: {service: a, port: 1}}]') +
        custom('a', 'gone', '[{to: [{operation: {paths: [/a]}}]}]') +
        conditional,
      [condition],
    );
    t.strictSame(rules?.matches(request('/')), []);
    t.match(rules?.matches(request('/a')), [
      { kind: 'refuse', code: 'authorization_provider_unknown', policy: 'shop/a', rule: 0, reason: /has no gone/ },
    ]);
    t.match(rules?.matches(request('/c')), [
      { kind: 'refuse', code: 'authorization_condition_failed', policy: 'shop/b', reason: /could not be judged/ },
    ]);
  },
);

t.test('each provider is asked once, in the order of names', async (t) => {
  const grpc = (name: string) => `{name: ${name}, envoyExtAuthzGrpc: {service: a, port: 1}}`;
  const rules = compiled(
    defaults(`[${grpc('b')}, ${grpc('a')}]`) +
      custom('one', 'b', '[{}]') +
      custom('two', 'a', '[{}]') +
      custom('three', 'b', '[{to: [{operation: {paths: [/x]}}]}]'),
  );
  t.match(
    rules?.matches(request('/x')).map((match) => match.kind === 'ask' && match.provider.name),
    ['a', 'b'],
  );
});

t.test('what MeshDefaults may not say of a provider', async (t) => {
  const faults: readonly [string, RegExp][] = [
    ['{name: a}', /expected one of envoyExtAuthzGrpc and envoyExtAuthzHttp/],
    [
      '{name: a, envoyExtAuthzGrpc: {service: a, port: 1}, envoyExtAuthzHttp: {service: a, port: 1}}',
      /expected one of/,
    ],
    ['{name: a, zipkin: {service: a, port: 1}}', /unknown field zipkin/],
    ['{name: a, envoyExtAuthzGrpc: {service: "http://a", port: 1}}', /is not HOST or NAMESPACE\/HOST/],
    ['{name: a, envoyExtAuthzGrpc: {service: a, port: 0}}', /outside of 1 to 65535/],
    ['{name: a, envoyExtAuthzGrpc: {service: a, port: 1, timeout: 2h}}', /outside of 1ms to 60s/],
    ['{name: a, envoyExtAuthzGrpc: {service: a, port: 1, statusOnError: "200"}}', /is not a status/],
    ['{name: a, envoyExtAuthzGrpc: {service: a, port: 1, pathPrefix: /x}}', /unknown field pathPrefix/],
    ['{name: a, envoyExtAuthzGrpc: {service: a, port: 1, clearRouteCache: true}}', /unknown field clearRouteCache/],
    ['{name: a, envoyExtAuthzHttp: {service: a, port: 1, pathPrefix: x}}', /must begin with \//],
    ['{name: a, envoyExtAuthzHttp: {service: a, port: 1, headersToUpstreamOnAllow: ["a b"]}}', /no header name/],
    ['{name: a, envoyExtAuthzHttp: {service: a, port: 1, headersToUpstreamOnAllow: ["*"]}}', /no header name/],
    [
      '{name: a, envoyExtAuthzHttp: {service: a, port: 1, includeAdditionalHeadersInCheck: {a: "b\\n"}}}',
      /visible ASCII/,
    ],
    [
      '{name: a, envoyExtAuthzHttp: {service: a, port: 1, includeAdditionalHeadersInCheck: {Content_Length: "0"}}}',
      /is made with each check/,
    ],
    [
      '{name: a, envoyExtAuthzHttp: {service: a, port: 1, includeAdditionalHeadersInCheck: {Host: b}}}',
      /is made with each check/,
    ],
  ];
  for (const [provider, message] of faults) {
    t.match(
      load(defaults(`[${provider}]`))
        .problems.map(formatProblem)
        .join('\n'),
      message,
      provider,
    );
  }
  const twice = '{name: a, envoyExtAuthzGrpc: {service: a, port: 1}}';
  t.match(
    load(defaults(`[${twice}, ${twice}]`))
      .problems.map(formatProblem)
      .join(),
    /the provider a is there twice/,
  );
});

t.test('a CUSTOM policy on trial is refused: nobody may be asked for the sake of a trial', async (t) => {
  const trial = custom('a', 'a', '[{}]').replace(
    'namespace: shop}',
    'namespace: shop, annotations: {istio.io/dry-run: "true"}}',
  );
  const text = defaults('[{name: a, envoyExtAuthzGrpc: {service: a, port: 1}}]') + trial;
  t.match(load(text).problems.map(formatProblem).join(), /cannot be on trial/);
});
