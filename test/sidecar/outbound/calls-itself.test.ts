import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { freePorts } from '../../support/free-ports.ts';
import { ALLOW_ALL } from '../../support/sidecar-pair.ts';
import { startSidecarProcess } from '../../support/sidecar-process.ts';
import { ask, startApp } from '../../support/start-app.ts';

const mode = (name: string) => `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: test}
spec: {mtls: {mode: ${name}}}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {outbound: AllowAny}
`;

const service = (port: number) => `---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: server, namespace: test}
spec:
  hosts: [server.test]
  endpoints: [{address: 127.0.0.1, port: ${port}, serviceAccount: server, labels: {app: server}}]
`;

async function startSelfCaller(t: Test, modeName: string) {
  const app = await startApp(t, (request, response) =>
    response.end(request.headers['x-forwarded-client-cert'] === undefined ? 'plaintext' : 'mutual TLS'),
  );
  const [outbound = 0] = await freePorts(1);
  const policies = ALLOW_ALL + mode(modeName);
  const sidecar = await startSidecarProcess(t, app.port, policies, `outbound: {port: ${outbound}}`);
  const before = await sidecar.policyVersion();
  await mkdir(join(sidecar.directory, 'policies'), { recursive: true });
  await writeFile(join(sidecar.directory, 'policies', 'service.yaml'), service(sidecar.port));
  while ((await sidecar.policyVersion()) === before) await new Promise((resolve) => setTimeout(resolve, 20));
  return { sidecar, outbound };
}

for (const [name, wanted] of [
  ['STRICT', 'mutual TLS'],
  ['DISABLE', 'plaintext'],
] as const) {
  t.test(`a workload that calls itself is served, ${name}`, async (t) => {
    const { outbound } = await startSelfCaller(t, name);
    const { status, body } = await ask(outbound);
    t.strictSame([status, body], [200, wanted]);
  });
}

t.test('a host that leads to a listener of the sidecar is still a loop', async (t) => {
  const { sidecar, outbound } = await startSelfCaller(t, 'DISABLE');
  for (const port of [outbound, sidecar.port]) {
    const { status, body } = await ask(outbound, { headers: { host: `127.0.0.1:${port}` } });
    t.equal(status, 508, body);
  }
});
