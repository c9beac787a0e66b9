import fc from 'fast-check';
import t from 'tap';
import { analyseResourceSet } from '#policy/analysis/analyse-resource-set.ts';
import { compileAuthorizer } from '#policy/authorization/compile-authorizer.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { loadResources } from '#policy/load-resources.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { namespace: 'shop', name: 'orders', labels: { app: 'orders', tier: 'api' } };
const RUNS = 1_500;

const some = (...values: readonly string[]) =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
const principal = (namespace: string, name: string) => `cluster.local/ns/${namespace}/sa/${name}`;
const PRINCIPALS = [principal('shop', 'web'), principal('shop', 'cart'), principal('bank', 'web')];

/** An object with at least one of the fields. */
function atLeastOne(fields: { readonly [name: string]: fc.Arbitrary<unknown> }) {
  return fc.record(fields, { requiredKeys: [] }).filter((given) => Object.keys(given).length > 0);
}

const principals = some(...PRINCIPALS, '*', 'cluster.local/ns/shop/*', '*/sa/web');
const source = fc.oneof(
  atLeastOne({ principals, notPrincipals: principals, namespaces: some('shop', 'bank', 's*', '*') }),
  atLeastOne({
    serviceAccounts: some('web', 'bank/web'),
    ipBlocks: some('10.0.0.0/8', '10.1.0.0/16', '10.1.2.3', '::/0'),
  }),
);
const methods = some('GET', 'PUT', 'P*', '*');
const paths = some('/a', '/a/b', '/a/*', '*/b', '/a/{*}', '/a/{**}', '*');
const operation = atLeastOne({
  methods,
  notMethods: methods,
  paths,
  notPaths: paths,
  ports: some('80', '5432'),
  hosts: some('shop.example', '*.example', 'SHOP.example'),
});
const condition = fc
  .tuple(fc.constantFrom('values', 'notValues'), some('red', 'r*', '*', 'blue'))
  .map(([field, values]) => ({ key: 'request.headers[x-team]', [field]: values }));
const rule = fc.record(
  {
    from: fc.array(fc.record({ source }), { minLength: 1, maxLength: 2 }),
    to: fc.array(fc.record({ operation }), { minLength: 1, maxLength: 2 }),
    when: fc.array(condition, { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const policy = fc.record({
  action: fc.constantFrom('ALLOW', 'DENY'),
  namespace: fc.constantFrom('shop', 'shop', 'lateral-system'),
  matchLabels: fc.constantFrom({}, { app: 'orders' }, { app: 'orders', tier: 'api' }),
  rules: fc.array(rule, { minLength: 1, maxLength: 4 }),
});

const request: fc.Arbitrary<AuthorizationRequest> = fc
  .record({
    isTcp: fc.boolean(),
    caller: fc.constantFrom(undefined, ['shop', 'web'], ['shop', 'cart'], ['bank', 'web']),
    method: fc.constantFrom('GET', 'PUT', 'POST'),
    path: fc.constantFrom('/a', '/a/b', '/a/c', '/a/b/c', '/x/b', '/'),
    host: fc.constantFrom('shop.example', 'other.example', 'shop.local'),
    port: fc.constantFrom(80, 5432),
    sourceIp: fc.constantFrom('10.1.2.3', '10.1.9.9', '10.2.0.1', '192.0.2.1', '2001:db8::1'),
    team: fc.constantFrom(undefined, '', 'red', 'rot', 'blue'),
  })
  .map(({ isTcp, caller, method, path, host, port, sourceIp, team }) => ({
    source: caller === undefined ? null : spiffeId('cluster.local', caller[0] ?? '', caller[1] ?? ''),
    method: isTcp ? undefined : method,
    path: isTcp ? undefined : path,
    host: isTcp ? undefined : host,
    headers: isTcp || team === undefined ? [] : ['x-team', team],
    port,
    sourceIp,
    remoteIp: sourceIp,
    destinationIp: '10.9.9.9',
    sni: undefined,
    claims: undefined,
  }));

t.test('a rule that is said to decide nothing decides nothing', (t) => {
  const said = new Map<string, number>();
  fc.assert(
    fc.property(
      fc.array(policy, { minLength: 1, maxLength: 4 }),
      fc.array(request, { minLength: 30, maxLength: 60 }),
      (policies, requests) => {
        const text = policies
          .map(({ action, namespace, matchLabels, rules }, index) =>
            JSON.stringify({
              apiVersion: 'security.istio.io/v1',
              kind: 'AuthorizationPolicy',
              metadata: { name: `p${index}`, namespace },
              spec: { action, selector: { matchLabels }, rules },
            }),
          )
          .join('\n---\n');
        const { sourced, problems } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
        const errors = problems.filter(({ severity }) => severity === 'error');
        if (errors.length > 0) throw new Error(JSON.stringify(errors));
        const idle = new Set<string>();
        for (const { code, line, message } of analyseResourceSet(sourced, MESH)) {
          if (code !== 'contradiction' && code !== 'shadowed_rule' && code !== 'never_matches') continue;
          const given = policies[(line - 1) / 2];
          idle.add(`${given?.namespace}/p${(line - 1) / 2} ${/^rule (\d+)/.exec(message)?.[1]}`);
          said.set(code, (said.get(code) ?? 0) + 1);
        }
        const bound = sourced
          .flatMap(({ any }) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []))
          .sort((left, right) => (`${left.namespace}/${left.name}` < `${right.namespace}/${right.name}` ? -1 : 1));
        const authorizer = compileAuthorizer(bound, WORKLOAD, MESH, { authorizationDefault: 'Deny' });
        for (const one of requests) {
          const decision = authorizer.decide(one);
          const isByRule = decision.kind === 'allow' || decision.code === 'authorization_denied';
          if (isByRule && idle.has(`${decision.policy} ${decision.rule}`)) {
            throw new Error(`${decision.policy} rule ${decision.rule} decided ${JSON.stringify(one)}`);
          }
        }
      },
    ),
    { numRuns: RUNS },
  );
  for (const code of ['contradiction', 'shadowed_rule', 'never_matches']) {
    t.ok((said.get(code) ?? 0) > RUNS / 50, `${code} was said ${said.get(code)} times`);
  }
  t.end();
});
