import { spawn } from 'node:child_process';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { TestAuthority } from '../support/certificates.ts';
import { freePorts } from '../support/free-ports.ts';
import { ALLOW_ALL, startPair } from '../support/sidecar-pair.ts';
import { ask, startApp } from '../support/start-app.ts';

const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));

function run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [lateral, ...args]);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

t.test('every command has a help that teaches; wrong usage is one line and exit 2', async (t) => {
  t.match(await run('--help'), { code: 0, stdout: /control-plane[\s\S]*sidecar[\s\S]*check/ });
  for (const command of ['control-plane', 'sidecar', 'token', 'check', 'authz', 'validate']) {
    t.match(await run(command, '--help'), { code: 0, stdout: /^Usage: lateral [\s\S]*\n {2}--/ }, command);
  }
  for (const args of [['sidecar'], ['sidecar', '--confg', 'x'], ['nonsense'], ['tap'], ['check'], ['authz']]) {
    const { code, stderr } = await run(...args);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, /^lateral[^\n]+\n$/, 'one line');
  }
});

t.test('a sidecar says ready in one line, answers probes, drains at SIGTERM and exits 0', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const directory = t.testdir({ policies: { 'a.yaml': ALLOW_ALL } });
  const authority = new TestAuthority();
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
  await writeFile(join(directory, 'a.pem'), cert);
  await writeFile(join(directory, 'a.key'), key);
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);
  const [inbound = 0, admin = 0, metrics = 0] = await freePorts(3);
  await writeFile(
    join(directory, 'sidecar.yaml'),
    `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server-1, namespace: test, serviceAccount: server}
standalone: {policies: policies, certificate: a.pem, privateKey: a.key, trustBundle: ca.pem}
inbound: [{port: ${inbound}, app: "127.0.0.1:${app.port}"}]
admin: {port: ${admin}}
metrics: {port: ${metrics}}
`,
  );
  const child = spawn(process.execPath, [lateral, 'sidecar', '--config', join(directory, 'sidecar.yaml')]);
  const first = await new Promise<string>((resolve) => createInterface({ input: child.stdout }).once('line', resolve));
  t.match(JSON.parse(first), { event: 'ready', identity: 'spiffe://cluster.local/ns/test/sa/server' });
  for (const port of [admin, metrics]) {
    t.equal((await fetch(`http://127.0.0.1:${port}/livez`)).status, 200);
    t.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200);
  }
  const config = await (await fetch(`http://127.0.0.1:${admin}/config`)).text();
  t.match(config, /"resources"/);
  t.notMatch(config, /PRIVATE KEY/);
  const http = await import('node:http');
  const rebound = await new Promise<number | undefined>((resolve) => {
    http.get({ host: '127.0.0.1', port: admin, path: '/config', headers: { host: 'evil.example' } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
  });
  t.equal(rebound, 403, 'a name that is not loopback is refused');
  const ended = new Promise((resolve) => child.on('exit', resolve));
  child.kill('SIGTERM');
  t.equal(await ended, 0);
});

t.test('a configuration with faults: each with its position, exit 1', async (t) => {
  const directory = t.testdir({
    'sidecar.yaml': `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: a, namespace: test, serviceAcount: server}
inbound: [{port: 99999, app: "8080", protocol: udp}]
interception: redirekt
`,
  });
  const { code, stderr } = await run('sidecar', '--config', join(directory, 'sidecar.yaml'));
  t.equal(code, 1);
  t.match(stderr, /sidecar\.yaml:3:38: error unknown_field .*did you mean serviceAccount\?/);
  t.match(stderr, /sidecar\.yaml:4:18: error invalid_value .*99999/);
  t.match(stderr, /sidecar\.yaml:4:\d+: error invalid_type .*udp/);
  t.match(stderr, /sidecar\.yaml:5:\d+: error invalid_type .*redirekt.*did you mean redirect\?/);
});

t.test('the policy folder of a standalone sidecar is followed; a broken file changes nothing', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port);
  const file = join(pair.policies, 'policies.yaml');
  const status = async () => (await ask(pair.outboundPort)).status;
  const becomes = async (wanted: number) => {
    const deadline = Date.now() + 2_000;
    while ((await status()) !== wanted && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));
    return status();
  };
  t.equal(await status(), 200);
  await writeFile(`${file}.new`, ALLOW_ALL.replace('{rules: [{}]}', '{}'));
  await rename(`${file}.new`, file);
  t.equal(await becomes(403), 403, 'a file renamed over the old one');
  await writeFile(file, 'spec: [unclosed');
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  t.equal(await status(), 403, 'broken: the last good set stays');
  await writeFile(file, ALLOW_ALL);
  t.equal(await becomes(200), 200);
  t.ok((await readFile(file, 'utf8')).length > 0);
});

t.test('told to stop before it could serve, a sidecar ends at once with 0', async (t) => {
  const directory = t.testdir({ token: 'lateral.none.none' });
  const [control = 0, inbound = 0, admin = 0, metrics = 0] = await freePorts(4);
  await writeFile(join(directory, 'ca.pem'), new TestAuthority().rootPem);
  await writeFile(
    join(directory, 'sidecar.yaml'),
    `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server-1, namespace: test, serviceAccount: server}
controlPlane: {address: "127.0.0.1:${control}", trustBundle: ca.pem, tokenFile: token}
inbound: [{port: ${inbound}, app: "127.0.0.1:1"}]
admin: {port: ${admin}}
metrics: {port: ${metrics}}
`,
  );
  const child = spawn(process.execPath, [lateral, 'sidecar', '--config', join(directory, 'sidecar.yaml')]);
  const ended = new Promise((resolve) => child.on('exit', resolve));
  await new Promise((resolve) => createInterface({ input: child.stderr }).once('line', resolve));
  t.equal((await fetch(`http://127.0.0.1:${metrics}/readyz`)).status, 503);
  await t.rejects(fetch(`http://127.0.0.1:${inbound}/`), 'the traffic port is not open yet');
  const toldAt = performance.now();
  child.kill('SIGTERM');
  t.equal(await ended, 0);
  t.ok(performance.now() - toldAt < 2_000);
});
