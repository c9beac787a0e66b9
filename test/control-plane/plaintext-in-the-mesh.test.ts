import t from 'tap';
import { startMeshProcesses } from '../support/mesh-processes.ts';
import { runLateral } from '../support/run-lateral.ts';
import { ask, startApp } from '../support/start-app.ts';
import { eventually } from './control-plane-fixture.ts';

const CALLERS = 4;
/** Requests that are answered under each mode before the next. */
const REQUESTS_A_MODE = 100;
const WAIT_MS = 60_000;

const policies = (mode: string) => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: anybody, namespace: shop}
spec: {rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders, namespace: shop}
spec: {selector: {matchLabels: {app: orders}}, mtls: {mode: STRICT}, portLevelMtls: {${mode}}}
`;
const service = (name: string, port: number, appPort: number) => `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: ${name}, namespace: shop}
spec:
  hosts: [${name}.shop]
  endpoints: [{address: 127.0.0.1, port: ${port}, appPort: ${appPort}, serviceAccount: ${name}, labels: {app: ${name}}}]
`;

async function versionOf(adminPort: number): Promise<unknown> {
  return JSON.parse(await (await fetch(`http://127.0.0.1:${adminPort}/config`)).text()).policy.version;
}

t.test('each change of mode reaches callee and callers by the control plane, and no request fails', async (t) => {
  const app = await startApp(t, (request, response) =>
    response.end(request.headers['x-forwarded-client-cert'] === undefined ? 'plaintext' : 'mutual TLS'),
  );
  const mesh = await startMeshProcesses(t);
  const modeOf = (mode: string) => policies(`${app.port}: {mode: ${mode}}`);
  await mesh.writePolicy('policies.yaml', modeOf('STRICT'));
  const orders = await mesh.startSidecar('orders', { appPort: app.port });
  const web = await mesh.startSidecar('web', {});
  await mesh.writePolicy('services.yaml', service('orders', orders.inbound, app.port));
  const call = () => ask(web.outbound, { headers: { host: 'orders.shop' } });
  await eventually('the service is known', async () => (await call()).status === 200, WAIT_MS);

  const failures: string[] = [];
  let answered = 0;
  let isOver = false;
  const traffic = Array.from({ length: CALLERS }, async () => {
    while (!isOver) {
      const answer = await call().catch((error: unknown) => ({ status: 0, body: String(error) }));
      if (answer.status === 200) answered++;
      else failures.push(`${answer.status} ${answer.body}`);
    }
  });
  const seen: string[] = [];
  for (const mode of ['STRICT', 'PERMISSIVE', 'DISABLE', 'PERMISSIVE', 'STRICT']) {
    const before = await Promise.all([versionOf(orders.admin), versionOf(web.admin)]);
    await mesh.writePolicy('policies.yaml', modeOf(mode));
    const hasChanged = async () => (await versionOf(orders.admin)) !== before[0];
    if (mode !== 'STRICT' || seen.length > 0) await eventually(`${mode} is in force`, hasChanged, WAIT_MS);
    const wanted = mode === 'DISABLE' ? 'plaintext' : 'mutual TLS';
    await eventually('callers have heard of it', async () => (await call()).body === wanted, WAIT_MS);
    const from = answered;
    await eventually('traffic goes on', () => answered >= from + REQUESTS_A_MODE, WAIT_MS);
    seen.push(`${mode}: ${(await call()).body}`);
  }
  isOver = true;
  await Promise.all(traffic);
  t.strictSame(failures, []);
  t.strictSame(seen, [
    'STRICT: mutual TLS',
    'PERMISSIVE: mutual TLS',
    'DISABLE: plaintext',
    'PERMISSIVE: mutual TLS',
    'STRICT: mutual TLS',
  ]);

  for (const [name, sidecar] of [
    ['orders', orders],
    ['web', web],
  ] as const) {
    const { stdout } = await runLateral(t, ['proxies', '--sidecar', String(sidecar.admin)]);
    t.match(stdout, name === 'orders' ? / 1 caller / : / none for \d+[sm] /, stdout);
    if (name === 'orders') {
      const line = new RegExp(
        `127\\.0\\.0\\.1 to port ${app.port}: \\d+ connections?, \\d+ requests, the last \\d+s ago`,
      );
      t.match(stdout, line);
    }
  }
  const page = async () => (await fetch(`http://127.0.0.1:${mesh.statusPort}/proxies`)).text();
  const caller = new RegExp(`"address": "127.0.0.1",\\s+"port": ${app.port},`);
  await eventually('the control plane is told', async () => caller.test(await page()), WAIT_MS);
});
