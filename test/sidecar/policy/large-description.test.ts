import { readFile, stat, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { githubDescription } from '../../support/github-description.ts';
import { startMeshProcesses } from '../../support/mesh-processes.ts';
import { startApp } from '../../support/start-app.ts';

const policies = (inbound: number) => `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: github, namespace: shop}
spec:
  hosts: [github]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${inbound}, serviceAccount: github, labels: {app: github}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: shop}
spec: {rules: [{}]}
---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: github, namespace: shop}
spec: {openapi: {file: github.json}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: github, namespace: shop}
spec: {selector: {matchLabels: {app: github}}, schemaRefs: [github], mode: Enforce}
`;

function post(port: number, path: string, body: string): Promise<{ readonly status: number; readonly text: string }> {
  const headers = { host: 'github', 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method: 'POST', path, headers }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
    });
    request.on('error', reject).end(body);
  });
}

t.test("GitHub's description goes from a folder by a control plane to a sidecar, and judges there", async (t) => {
  const app = await startApp(t, (_request, response) => response.end('{}'));
  const mesh = await startMeshProcesses(t);
  const server = await mesh.startSidecar('github', { appPort: app.port });
  const client = await mesh.startSidecar('web', {});
  await writeFile(join(mesh.directory, 'policies/github.json'), await githubDescription());
  await mesh.writePolicy('a.yaml', policies(server.inbound));
  const issue = (body: object) => post(client.outbound, '/repos/o/r/issues', JSON.stringify(body));
  const ends = Date.now() + 30_000;
  let invalid = await issue({});
  while (invalid.status !== 400 && Date.now() < ends) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    invalid = await issue({});
  }
  t.match(invalid, { status: 400, text: /"code":"invalid_body"/ });
  t.match(await issue({ title: 'found a bug' }), { status: 200 });
  t.match(await issue({ title: 'found a bug', labels: [{ name: 1 }] }), { status: 400 });
  t.match(await post(client.outbound, '/no/such/path', '{}'), { status: 404, text: /"code":"undocumented_path"/ });

  const stored = join(mesh.directory, 'state-github/snapshot.json');
  t.ok((await stat(stored)).size < 256 * 1024, 'what is stored is compressed');
  t.match(JSON.parse(await readFile(stored, 'utf8')), { resources: Array });
  const web = await readFile(join(mesh.directory, 'state-web/snapshot.json'), 'utf8');
  t.notMatch(web, /APISchema/, 'others are not sent it');
});
