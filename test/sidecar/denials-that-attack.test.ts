import t from 'tap';
import { ALLOW_ALL, startPair } from '../support/sidecar-pair.ts';
import { ask, startApp } from '../support/start-app.ts';

const ALLOW_ORDERS = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: test}
spec: {rules: [{to: [{operation: {paths: [/orders]}}]}]}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {authorization: {denialAlerts: {refusals: 10, distinctPaths: 5}}}
`;

const alertsOf = async (metricsPort: number) => {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  return text.split('\n').filter((line) => line.startsWith('lateral_denial_alerts_total'));
};

t.test('a caller that tries many paths raises one event of each kind at the callee', async (t) => {
  const app = await startApp(t, (_, response) => response.end('ok'));
  const pair = await startPair(t, app.port, ALLOW_ORDERS);
  for (let index = 0; index < 30; index++)
    t.equal((await ask(pair.outboundPort, { path: `/admin/${index}` })).status, 403);
  t.same(await alertsOf(pair.serverMetricsPort), [
    'lateral_denial_alerts_total{kind="refusals"} 1',
    'lateral_denial_alerts_total{kind="paths"} 1',
  ]);
});

t.test('traffic that is allowed raises none', async (t) => {
  const app = await startApp(t, (_, response) => response.end('ok'));
  const pair = await startPair(t, app.port, ALLOW_ALL);
  for (let index = 0; index < 50; index++) t.equal((await ask(pair.outboundPort, { path: `/a/${index}` })).status, 200);
  t.same(await alertsOf(pair.serverMetricsPort), [
    'lateral_denial_alerts_total{kind="refusals"} 0',
    'lateral_denial_alerts_total{kind="paths"} 0',
  ]);
});
