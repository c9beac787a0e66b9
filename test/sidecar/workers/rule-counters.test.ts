import t from 'tap';
import { denied, startGrpcProvider } from '../../support/grpc-provider.ts';
import { until } from '../../support/inbound-sidecar.ts';
import { startSidecarProcess } from '../../support/sidecar-process.ts';
import { startApp } from '../../support/start-app.ts';

/** All of so many connections to one of two workers: once in 2^39 runs. */
const CONNECTIONS = 40;

const policies = (providerPort: number) => `apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec:
  extensionProviders:
  - {name: asked, envoyExtAuthzGrpc: {service: 127.0.0.1, port: ${providerPort}, timeout: 10s}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: test}
spec:
  action: CUSTOM
  provider: {name: asked}
  rules:
  - to: [{operation: {paths: [/asked]}}]
  - to: [{operation: {paths: [/refused]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: never, namespace: test}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/never]}}]}]}
---
apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: on-trial, namespace: test}
spec: {action: DENY, mode: Audit, rules: [{to: [{operation: {paths: [/tried]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: test}
spec: {rules: [{to: [{operation: {paths: [/asked, /plain, /tried]}}]}]}
`;

t.test('what two workers count of rules, checks and refusals is one', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('hello'));
  const provider = await startGrpcProvider(t);
  const refusing = denied(403);
  provider.answer = (request) =>
    request.attributes?.request?.http?.path === '/refused'
      ? refusing
      : { status: { code: 0 }, httpResponse: undefined };
  const sidecar = await startSidecarProcess(t, app.port, policies(provider.port), 'concurrency: 2');
  for (const [path, status] of [
    ['/asked', 200],
    ['/refused', 403],
    ['/plain', 200],
    ['/tried', 200],
    ['/other', 403],
  ] as const)
    t.strictSame(await sidecar.statuses(CONNECTIONS, path), [status], path);
  const matches = (policy: string, rule: number) =>
    sidecar.metric(`lateral_authorization_rule_matches_total{policy="test/${policy}",rule="${rule}"}`);
  await until(async () => (await sidecar.metric('lateral_requests_total')) === 5 * CONNECTIONS);
  t.ok((await sidecar.metric('lateral_worker_requests_total{worker="1"}')) > 0, 'both serve');
  t.ok((await sidecar.metric('lateral_worker_requests_total{worker="2"}')) > 0, 'both serve');
  t.equal(await matches('ask', 0), CONNECTIONS);
  t.equal(await matches('ask', 1), CONNECTIONS);
  t.equal(await matches('never', 0), 0);
  t.equal(await matches('on-trial', 0), CONNECTIONS);
  t.equal(await matches('allow', 0), 3 * CONNECTIONS);
  const checks = (result: string) =>
    sidecar.metric(`lateral_authorization_checks_total{provider="asked",result="${result}"}`);
  t.strictSame(
    [await checks('allowed'), await checks('denied'), await checks('failed')],
    [CONNECTIONS, CONNECTIONS, 0],
  );
  t.equal(await sidecar.metric('lateral_authorization_checks_in_flight'), 0);
  const audited = 'direction="inbound",code="authorization_denied",policy="test/on-trial",rule="0"';
  t.equal(await sidecar.metric(`lateral_audited_refusals_total{${audited}}`), CONNECTIONS);
  const refused = (code: string) =>
    sidecar.metric(`lateral_refusals_total{direction="inbound",decision="deny",code="${code}"}`);
  t.equal(await refused('authorization_not_allowed'), CONNECTIONS);
  t.equal(await refused('authorization_provider_denied'), CONNECTIONS);
});
