import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { connectControlPlane } from '#sidecar/control/connect-control-plane.ts';
import { allowPolicy, MESH, ORDERS } from './control-plane-fixture.ts';

const LATERAL = join(import.meta.dirname, '../../bin/lateral.mjs');

/** A directory with a configuration and one policy. */
async function prepare(t: Test, port = 0): Promise<string> {
  const directory = t.testdir();
  await mkdir(join(directory, 'policies'));
  await writeFile(join(directory, 'policies', 'a.yaml'), allowPolicy('a', 'web'));
  await writeFile(join(directory, 'control-plane.yaml'), configuration(port));
  return directory;
}

function configuration(port: number): string {
  return `apiVersion: lateral.dev/v1alpha1
kind: ControlPlaneConfig
listen: {port: ${port}}
source: {directory: ./policies}
authority: {directory: ./state/ca}
tokens: {directory: ./state/tokens}
inventory: {sqlite: ./state/inventory.db}
console: {port: 0}
`;
}

class Program {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  stdout = '';
  stderr = '';

  constructor(t: Test, directory: string) {
    const args = [LATERAL, 'control-plane', '--config', join(directory, 'control-plane.yaml')];
    this.child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.exited = once(this.child, 'exit').then(([code]) => code);
    t.teardown(async () => {
      this.child.kill('SIGKILL');
      await this.exited;
    });
  }

  async ready(): Promise<{ readonly event: string; readonly address: string; readonly statusPort: number }> {
    if (this.child.stdout === null) throw new Error('no stdout');
    for await (const line of createInterface(this.child.stdout)) return JSON.parse(line);
    throw new Error(`ended before it was ready: ${this.stderr}`);
  }
}

t.test('says ready, gives a sidecar its identity by a token of the command, and ends at SIGTERM with 0', async (t) => {
  const directory = await prepare(t);
  const startedAt = performance.now();
  const program = new Program(t, directory);
  const ready = await program.ready();
  t.comment(`ready after ${Math.round(performance.now() - startedAt)} ms`);
  t.equal(ready.event, 'ready');
  t.match(program.stderr, 'inventory is accepted, and this version records nothing there');
  const page = await fetch(`http://127.0.0.1:${ready.statusPort}/readyz`);
  t.equal(page.status, 200);

  const names = ['--namespace', 'shop', '--service-account', 'orders'];
  const config = ['--config', join(directory, 'control-plane.yaml')];
  const { stdout: token } = await promisify(execFile)(process.execPath, [LATERAL, 'token', ...config, ...names]);
  await writeFile(join(directory, 'token'), token);
  const connection = await connectControlPlane({
    address: ready.address,
    trustBundlePem: await readFile(join(directory, 'state/ca/root-cert.pem'), 'utf8'),
    tokenFile: join(directory, 'token'),
    workload: ORDERS,
    mesh: MESH,
    ports: [],
    stateDirectory: undefined,
    log: () => {},
  });
  t.teardown(() => connection.close());
  const versions: string[] = [];
  await connection.policies.start(async ({ version }) => {
    versions.push(version);
  });
  t.equal(versions.length, 1);

  const stoppedAt = performance.now();
  program.child.kill('SIGTERM');
  t.equal(await program.exited, 0);
  t.ok(performance.now() - stoppedAt < 3_000, 'in time, though a sidecar is connected');
});

t.test('a second one on the same port says so in one line', async (t) => {
  const directory = await prepare(t);
  const first = new Program(t, directory);
  const port = Number((await first.ready()).address.split(':')[1]);
  await writeFile(join(directory, 'control-plane.yaml'), configuration(port));
  const second = new Program(t, directory);
  t.equal(await second.exited, 1);
  const lines = second.stderr.trim().split('\n');
  t.match(lines.at(-1), new RegExp(`cannot listen on 127.0.0.1:${port}: another program .*already listens there`));
  t.notMatch(second.stderr, / {4}at /);
});

t.test('killed and started on a broken folder, it serves the last good policies and prints the errors', async (t) => {
  const directory = await prepare(t);
  const first = new Program(t, directory);
  await first.ready();
  first.child.kill('SIGKILL');
  await first.exited;
  await writeFile(
    join(directory, 'policies', 'a.yaml'),
    'apiVersion: security.istio.io/v1\nkind: AuthorizationPolcy\n',
  );
  const second = new Program(t, directory);
  t.equal((await second.ready()).event, 'ready');
  t.match(second.stderr, /a\.yaml:\d+:\d+: error \w+ /);
  t.match(second.stderr, '"event":"last_good_in_force"');
});

t.test('a broken configuration and a missing one end it with 1', async (t) => {
  const directory = await prepare(t);
  await writeFile(join(directory, 'control-plane.yaml'), `${configuration(0)}listne: {}\n`);
  const broken = new Program(t, directory);
  t.equal(await broken.exited, 1);
  t.match(broken.stderr, /control-plane\.yaml:9:1: error unknown_field .*did you mean listen\?/);
  const missing = new Program(t, join(directory, 'elsewhere'));
  t.equal(await missing.exited, 1);
  t.match(missing.stderr, /ENOENT|no such file/);
});
