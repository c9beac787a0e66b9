import t from 'tap';
import { compileAuthorizer } from '#policy/authorization/compile-authorizer.ts';
import { compileConditions } from '#policy/condition/compile-condition.ts';
import { loadResources } from '#policy/load-resources.ts';
import { contentProblems } from '#policy/resource/content-problems.ts';
import type { AuthorizationRequest, RequestClaims } from '#policy/workload-policy.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { namespace: 'shop', name: 'orders', labels: {} };
const TENANT = "jwt.tenant == request.path.split('/')[2]";

const policy = (name: string, spec: string, group = 'lateral.dev/v1alpha1') => `apiVersion: ${group}
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: shop}
spec: ${spec}
`;

function load(...texts: readonly string[]) {
  return loadResources([{ path: 'a.yaml', text: texts.join('---\n') }], () => undefined, MESH);
}

function authorizerOf(...texts: readonly string[]) {
  const { sourced, problems } = load(...texts);
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  const policies = sourced.flatMap(({ any }) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []));
  const conditions = compileConditions(
    policies.flatMap(({ spec }) => (spec.rules ?? []).flatMap(({ condition }) => condition ?? [])),
  );
  const authorizer = compileAuthorizer(
    policies,
    WORKLOAD,
    MESH,
    { authorizationDefault: 'Deny' },
    undefined,
    conditions,
  );
  return (change: Partial<AuthorizationRequest> = {}) => {
    const asked = { ...request(), ...change };
    return authorizer.explain(authorizer.decide(asked), asked);
  };
}

const claims = (all: { readonly [name: string]: unknown }): RequestClaims => ({
  principal: 'a/b',
  audiences: [],
  presenter: undefined,
  all,
});

const request = (): AuthorizationRequest => ({
  source: null,
  method: 'GET',
  path: '/tenants/t1',
  host: 'orders',
  headers: [],
  port: 80,
  sourceIp: '10.0.0.1',
  remoteIp: '10.0.0.1',
  sni: undefined,
  claims: claims({ tenant: 't1' }),
});

t.test('a condition is one more clause: the rest of the rule must hold as well', async (t) => {
  const decide = authorizerOf(
    policy('tenants', `{rules: [{to: [{operation: {methods: [GET]}}], condition: "${TENANT}"}]}`),
  );
  t.match(decide(), { kind: 'allow', policy: 'shop/tenants', rule: 0 });
  t.match(decide({ method: 'POST' }), { code: 'authorization_not_allowed', reason: /methods: POST is not one of GET/ });
  t.match(decide({ path: '/tenants/t2' }), {
    code: 'authorization_not_allowed',
    reason: /nearest shop\/tenants rule 0: condition: jwt\.tenant == .* is false/,
  });
});

t.test('what cannot be judged lets nobody pass, and is said; another rule may', async (t) => {
  const tenants = policy('tenants', `{rules: [{condition: "${TENANT}"}]}`);
  const decide = authorizerOf(tenants);
  t.match(decide({ claims: undefined }), {
    kind: 'deny',
    code: 'authorization_condition_failed',
    policy: 'shop/tenants',
    rule: 0,
    reason: /could not be judged: .*tenant/,
  });
  const health = policy('health', '{rules: [{to: [{operation: {paths: [/healthz]}}]}]}');
  t.match(authorizerOf(tenants, health)({ claims: undefined, path: '/healthz' }), { kind: 'allow' });
  t.match(authorizerOf(tenants, health)({ claims: undefined }), { code: 'authorization_condition_failed' });
});

t.test('of a DENY rule it is a refusal, whatever allows', async (t) => {
  const all = policy('all', '{rules: [{}]}');
  const deny = policy('strangers', '{action: DENY, rules: [{condition: "jwt.tenant != \'t1\'"}]}');
  const decide = authorizerOf(all, deny);
  t.match(decide(), { kind: 'allow' });
  t.match(decide({ claims: claims({ tenant: 't2' }) }), { code: 'authorization_denied', policy: 'shop/strangers' });
  t.match(decide({ claims: undefined }), { code: 'authorization_condition_failed', policy: 'shop/strangers' });
});

t.test('a connection that is not HTTP: a condition about it is judged, one about a request is not', async (t) => {
  const tcp = { method: undefined, path: undefined, host: undefined, headers: [], claims: undefined };
  t.match(authorizerOf(policy('a', `{rules: [{condition: "${TENANT}"}]}`))(tcp), {
    kind: 'deny',
    code: 'authorization_not_allowed',
    reason: /condition: the connection is not HTTP/,
  });
  t.match(authorizerOf(policy('a', '{rules: [{condition: "source.ip.startsWith(\'10.\')"}]}'))(tcp), { kind: 'allow' });
});

t.test('a condition that cannot be right is refused when it is loaded, and one of Istio has none', async (t) => {
  const { sourced } = load(policy('a', '{rules: [{condition: "reqest.path == 1"}]}'));
  t.match(await contentProblems(sourced), [
    { severity: 'error', code: 'invalid_condition', line: 4, message: /character 7: unknown attribute.*request\.path/ },
  ]);
  t.match(load(policy('a', '{rules: [{condition: "true"}]}', 'security.istio.io/v1')).problems, [
    { severity: 'error', code: 'unknown_field', message: /lateral\.dev\/v1alpha1/ },
  ]);
});
