import { spawn, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { startSmallMesh } from '../cli/operations/small-mesh.ts';
import { ControlPlaneFixture, eventually } from '../control-plane/control-plane-fixture.ts';
import { freePorts } from '../support/free-ports.ts';

const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));

/** The environment of a process whose clock is apart from the machine's, by Debian's faketime; undefined: it is not there. */
function clockAt(offset: string): NodeJS.ProcessEnv | undefined {
  const print = 'process.stdout.write(JSON.stringify([process.env.LD_PRELOAD, Date.now()]))';
  const node = spawnSync('faketime', ['-m', '-f', offset, process.execPath, '-e', print], { encoding: 'utf8' });
  if (node.status !== 0) return undefined;
  const [preload, nowMs]: [string, number] = JSON.parse(node.stdout);
  if (Math.abs(nowMs - Date.now()) < 60_000) return undefined;
  // Timers go by the monotonic clock, which is nobody's to set.
  return { LD_PRELOAD: preload, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' };
}

const behind = clockAt('-4m');
const ahead = clockAt('+45m');
const farBehind = clockAt('-30m');
const skip =
  behind === undefined || ahead === undefined || farBehind === undefined ? 'faketime is not installed' : false;

t.test('sidecars whose clocks are 49 minutes apart are one mesh', { skip }, async (t) => {
  const mesh = await startSmallMesh(t, { web: behind ?? {}, orders: ahead ?? {} });
  t.equal((await mesh.call('/orders')).status, 200);
  t.equal((await mesh.call('/private')).status, 403);
  const before = mesh.fixture.running?.policyVersion();
  await mesh.fixture.writePolicy('more.yaml', POLICY);
  await eventually('the change is in force', async () => {
    return mesh.fixture.running?.policyVersion() !== before && (await mesh.call('/orders')).status === 403;
  });
});

const POLICY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: none, namespace: shop}
spec: {selector: {matchLabels: {app: orders}}, action: DENY, rules: [{}]}
`;

t.test(
  'a sidecar whose clock is further behind than certificates reach back says so, and is not ready',
  { skip },
  async (t) => {
    const fixture = new ControlPlaneFixture(t.testdir());
    await fixture.writePolicy('none.yaml', POLICY);
    await fixture.start();
    t.teardown(() => fixture.stop());
    const [metrics = 0, admin = 0, outbound = 0] = await freePorts(3);
    const file = join(fixture.directory, 'web.yaml');
    await writeFile(
      file,
      `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: web-1, namespace: shop, serviceAccount: web, labels: {app: web}}
controlPlane: {address: "127.0.0.1:${fixture.port}", trustBundle: state/ca/root-cert.pem, tokenFile: ${await fixture.token({ serviceAccount: 'web' })}}
outbound: {port: ${outbound}}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
`,
    );
    const child = spawn(process.execPath, [lateral, 'sidecar', '--config', file], {
      env: { ...process.env, ...farBehind },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    const events: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => events.push(line));
    await eventually('it says why', () => events.some((event) => /not yet valid/.test(event)), 20_000);
    t.equal((await fetch(`http://127.0.0.1:${metrics}/readyz`)).status, 503);
  },
);
