import t from 'tap';
import { compileAuthorizer } from '#policy/authorization/compile-authorizer.ts';
import { loadResources } from '#policy/load-resources.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';
import {
  EXPLANATIONS_A_CALLER,
  EXPLANATIONS_A_SECOND,
  SecondsBudget,
} from '../../../sidecar/inbound/explanation-budget.ts';

const request = (sourceIp: string): AuthorizationRequest => ({
  ...{ source: null, method: 'GET', path: '/', host: 'a', headers: [], port: 80, sourceIp },
  ...{ remoteIp: sourceIp, sni: undefined, claims: undefined },
});

t.test('so many denials a second are explained, of one caller half, and the next second as many again', (t) => {
  let now = 0;
  const budget = new SecondsBudget(() => now);
  const taken = (address: string, times: number) =>
    Array.from({ length: times }, () => budget.take(request(address))).filter((one) => one).length;
  t.equal(taken('10.0.0.1', 1_000), EXPLANATIONS_A_CALLER);
  t.equal(taken('10.0.0.2', 10), 10, 'another is not kept from its reasons');
  t.equal(taken('10.0.0.3', 1_000), EXPLANATIONS_A_SECOND - EXPLANATIONS_A_CALLER - 10);
  now = 999;
  t.equal(taken('10.0.0.4', 1), 0);
  now = 1_000;
  t.equal(taken('10.0.0.1', 1_000), EXPLANATIONS_A_CALLER);
  t.end();
});

t.test('a denial that is not explained says so, and how to ask; what needs no search takes nothing', (t) => {
  const text = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: gets, namespace: test}
spec: {rules: [{to: [{operation: {methods: [PUT]}}]}]}`;
  const workload = { namespace: 'test', name: 'app', labels: {} };
  const mesh = { trustDomain: 'test', rootNamespace: 'lateral-system' };
  const { sourced } = loadResources([{ path: 'a.yaml', text }], () => undefined, mesh);
  const policies = sourced.flatMap(({ any }) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []));
  let asked = 0;
  const spent = { take: () => ++asked < 0 };
  const authorizer = compileAuthorizer(policies, workload, mesh, { authorizationDefault: 'Deny' });
  const asks = request('10.0.0.1');
  const told = authorizer.explain(authorizer.decide(asks), asks, spent);
  t.match(told, { kind: 'deny', code: 'authorization_not_allowed', policy: undefined, rule: undefined });
  t.match(told.reason, /no rule of 1 ALLOW policy matched; the nearest rule was not looked for.*`lateral authz`/);
  t.equal(asked, 1);
  t.match(authorizer.explain(authorizer.decide(asks), asks).reason, 'nearest test/gets rule 0: methods');
  const none = compileAuthorizer([], workload, mesh, { authorizationDefault: 'Deny' });
  t.match(none.explain(none.decide(asks), asks, spent).reason, /^no ALLOW policy binds test\/app/);
  t.equal(asked, 1, 'there is nothing to look for');
  t.end();
});
