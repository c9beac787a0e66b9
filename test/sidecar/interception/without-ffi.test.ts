import { spawn, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { TestAuthority } from '../../support/certificates.ts';
import { freePorts } from '../../support/free-ports.ts';
import { ALLOW_ALL } from '../../support/sidecar-pair.ts';

const lateral = fileURLToPath(new URL('../../../bin/lateral.mjs', import.meta.url));

t.test('where the kernel cannot be asked, a sidecar with a redirection does not start; any other does', async (t) => {
  const directory = t.testdir({ policies: { 'a.yaml': ALLOW_ALL } });
  const authority = new TestAuthority();
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
  await writeFile(join(directory, 'a.pem'), cert);
  await writeFile(join(directory, 'a.key'), key);
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);
  const [inbound = 0, admin = 0, metrics = 0] = await freePorts(3);
  const start = (interception: string) => {
    const configuration = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server-1, namespace: test, serviceAccount: server}
standalone: {policies: ${directory}/policies, certificate: ${directory}/a.pem, privateKey: ${directory}/a.key, trustBundle: ${directory}/ca.pem}
interception: ${interception}
inbound: [{port: ${inbound}, app: "127.0.0.1:1"}]
admin: {port: ${admin}}
metrics: {port: ${metrics}}
`;
    const child = spawn(process.execPath, [lateral, 'sidecar', '--config', 'env:LATERAL_TEST_CONFIGURATION'], {
      env: { ...process.env, NODE_OPTIONS: '--no-experimental-ffi', LATERAL_TEST_CONFIGURATION: configuration },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      child.kill('SIGTERM');
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) =>
      child.on('close', (status) => resolve({ status, stdout, stderr })),
    );
  };
  const refused = await start('redirect');
  t.equal(refused.status, 1);
  t.match(
    refused.stderr,
    /^lateral sidecar: interception: redirect needs node:ffi, which .* or set interception: none\n$/m,
  );
  t.match(await start('none'), { status: 0, stdout: /"event":"ready"/ });
});

t.test('a variable that is not there is said', async (t) => {
  const { status, stderr } = spawnSync(process.execPath, [lateral, 'sidecar', '--config', 'env:LATERAL_NO_SUCH'], {
    encoding: 'utf8',
  });
  t.equal(status, 1);
  t.match(stderr, /the environment has no variable LATERAL_NO_SUCH/);
});
