import t from 'tap';
import { compileAuthorizer } from '#policy/authorization/compile-authorizer.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { loadResources } from '#policy/load-resources.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const REQUEST: AuthorizationRequest = {
  source: spiffeId('cluster.local', 'shop', 'web'),
  method: 'GET',
  path: '/a',
  host: 'orders',
  headers: [],
  port: 8080,
  sourceIp: '10.0.0.1',
  remoteIp: '10.0.0.1',
  sni: undefined,
  claims: undefined,
};
const WEB = { source: { principals: ['cluster.local/ns/shop/sa/web'] } };

function authorizerOf(rules: readonly object[]) {
  const metadata = { name: 'many', namespace: 'shop' };
  const policy = { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata, spec: { rules } };
  const file = { path: 'a.yaml', text: JSON.stringify(policy) };
  const { sourced } = loadResources([file], () => undefined, MESH);
  const policies = sourced.flatMap(({ any }) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []));
  const workload = { namespace: 'shop', name: 'orders', labels: {} };
  return compileAuthorizer(policies, workload, MESH, { authorizationDefault: 'Deny' });
}

t.test('alternatives of the same rules are told apart where they stand together', async (t) => {
  const reads = { operation: { paths: ['/a'], methods: ['GET'] } };
  const writes = { operation: { paths: ['/b'], methods: ['POST'] } };
  const { decide } = bound(authorizerOf(Array.from({ length: 12 }, () => ({ from: [WEB], to: [reads, writes] }))));
  t.match(decide({ ...REQUEST }), { kind: 'allow', rule: 0 });
  t.match(decide({ ...REQUEST, path: '/b', method: 'POST' }), { kind: 'allow', rule: 0 });
  t.match(decide({ ...REQUEST, path: '/b' }), { kind: 'deny' });
  t.match(decide({ ...REQUEST, method: 'POST' }), { kind: 'deny' });
});

t.test('a rule of very many pairs is judged as one of few', async (t) => {
  const from = Array.from({ length: 60 }, (_, index) => ({ source: { namespaces: [`team-${index}`] } }));
  const to = Array.from({ length: 40 }, (_, index) => ({ operation: { paths: [`/p${index}`], methods: ['GET'] } }));
  const { decide, explain } = bound(authorizerOf([{ from, to }]));
  const source = spiffeId('cluster.local', 'team-59', 'web');
  t.match(decide({ ...REQUEST, source, path: '/p39' }), { kind: 'allow', rule: 0 });
  t.match(decide({ ...REQUEST, source, path: '/p40' }), { kind: 'deny' });
  t.match(decide({ ...REQUEST, path: '/p39' }), { kind: 'deny' });
  t.match(decide({ ...REQUEST, source, path: undefined, method: undefined }), { kind: 'deny' }, 'over TCP');
  t.match(explain({ ...REQUEST, source, path: '/p40' }).reason, /none of 40 alternatives; the first by paths: \/p40/);
});

t.test('one value that holds a line break is not the two of another rule', async (t) => {
  const tenants = (values: readonly string[]) => ({ when: [{ key: 'request.headers[x-tenant]', values }] });
  const of = (tenant: string) => ({ ...REQUEST, headers: ['x-tenant', tenant] });
  const { decide } = bound(authorizerOf([tenants(['a', 'b'])]));
  t.match(decide(of('a')), { kind: 'allow' });
  const both = bound(
    authorizerOf([{ ...tenants(['a\nb']), to: [{ operation: { methods: ['POST'] } }] }, tenants(['a', 'b'])]),
  );
  t.match(both.decide({ ...of('a'), method: 'POST' }), { kind: 'allow', rule: 1 });
});

t.test('among thousands of rules the one for the path of the request is the nearest', async (t) => {
  const rules = Array.from({ length: 5_000 }, (_, index) => ({
    from: [WEB],
    to: [{ operation: { paths: [`/items/${index}`], methods: ['PUT'] } }],
  }));
  const { explain } = bound(authorizerOf(rules));
  const told = explain({ ...REQUEST, path: '/items/4321' });
  t.match(told, { kind: 'deny', policy: 'shop/many', rule: 4_321 });
  t.match(told.reason, /nearest shop\/many rule 4321: methods: GET is not one of PUT$/);
});

function bound(authorizer: ReturnType<typeof authorizerOf>) {
  const decide = (request: AuthorizationRequest) => authorizer.decide(request);
  return { decide, explain: (request: AuthorizationRequest) => authorizer.explain(decide(request), request) };
}
