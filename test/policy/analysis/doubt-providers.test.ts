import t from 'tap';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

/** What is said of a CUSTOM policy of these rules that binds the provider's own workload. */
function said(
  rules: string,
  provider: string,
  { namespace = 'shop', hosts = 'opa, opa.shop' } = {},
): readonly string[] {
  const text = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: ${namespace}}
spec: {action: CUSTOM, provider: {name: opa}, rules: ${rules}}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {extensionProviders: [{name: opa, ${provider}}]}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: opa, namespace: shop}
spec:
  hosts: [${hosts}]
  ports: [{port: 9191, protocol: http}]
  endpoints: [{address: 10.0.0.1, port: 15006, appPort: 8181, serviceAccount: opa}]
`;
  const { problems } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  return problems.map(formatProblem).flatMap((line) => / (provider_\w+) /.exec(line)?.[1] ?? []);
}

const GRPC = 'envoyExtAuthzGrpc: {service: opa, port: 9191}';
const HTTP = 'envoyExtAuthzHttp: {service: opa.shop, port: 9191, pathPrefix: /check}';
const to = (operation: string) => `[{to: [{operation: ${operation}}]}]`;
const ITSELF = ['provider_asks_itself'];

t.test('a rule that a check matches has the provider asked about its own checks', async (t) => {
  for (const rules of [
    '[{}]',
    to('{paths: ["/envoy*"]}'),
    to('{methods: [POST]}'),
    to('{ports: ["8181"]}'),
    to('{paths: ["*"]}'),
  ])
    t.strictSame(said(rules, GRPC), ITSELF, rules);
  for (const rules of [to('{paths: ["/check/*"]}'), to('{paths: ["/*"]}'), to('{methods: [GET]}')])
    t.strictSame(said(rules, HTTP), ITSELF, rules);
  t.strictSame(said('[{}]', GRPC, { namespace: 'lateral-system' }), ITSELF, 'a policy of the whole mesh');
  t.strictSame(said('[{}]', 'envoyExtAuthzGrpc: {service: shop/opa, port: 9191}'), ITSELF);
  t.strictSame(said('[{}]', 'envoyExtAuthzGrpc: {service: OPA, port: 9191}', { hosts: '"opa:9191"' }), ITSELF);
});

t.test('one that leaves it out does not', async (t) => {
  const CHECK = '/envoy.service.auth.v3.Authorization/Check';
  const others = [
    to('{paths: ["/admin*"]}'),
    to('{methods: [GET]}'),
    to('{ports: ["8080"]}'),
    to(`{notPaths: [${CHECK}]}`),
  ];
  for (const rules of [...others, '[]']) t.strictSame(said(rules, GRPC), [], rules);
  t.strictSame(said(to('{paths: ["/orders*"]}'), HTTP), []);
  t.strictSame(said('[{}]', 'envoyExtAuthzGrpc: {service: other/opa, port: 9191}'), [], 'of another namespace');
  t.strictSame(said('[{}]', 'envoyExtAuthzGrpc: {service: 127.0.0.1, port: 9191}'), [], 'of no service');
  t.strictSame(said('[{}]', GRPC, { namespace: 'other' }), [], 'a bare name is one of the own namespace');
});
