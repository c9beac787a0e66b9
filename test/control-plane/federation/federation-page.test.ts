import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { freePorts } from '../../support/free-ports.ts';
import { type LateralProcess, runLateral, startLateral } from '../../support/run-lateral.ts';
import { eventually } from '../control-plane-fixture.ts';

const page = readFileSync(fileURLToPath(new URL('../../../docs/federation.md', import.meta.url)), 'utf8');
const run = promisify(execFile);
const START_TIMEOUT_MS = 30_000;
/** Of the example, all of which are free ports in the test. */
const PORTS = /\b(?:[12]50(?:00|01|06|12|13|20|80)|8080)\b/g;

t.setTimeout(180_000);

t.test('two meshes as the page has them: one calls the other, by its identity and no other', async (t) => {
  const directory = t.testdir();
  const { files, commands, portOf } = await example();
  await startApp(t, portOf('8080'));
  const write = async (path: string) => {
    const text = files.get(path);
    if (text === undefined) throw new Error(`the page has no ${path}`);
    const [file = '', more] = path.split(', ');
    await mkdir(join(directory, dirname(file)), { recursive: true });
    await (more === undefined ? writeFile : appendFile)(join(directory, file), text);
  };
  const meshes = ['east', 'west'];
  const startControlPlanes = () =>
    Promise.all(
      meshes.map(async (mesh) => {
        const process = startLateral(t, ['control-plane', '--config', join(directory, mesh, 'control-plane.yaml')]);
        await isReady(`the control plane of ${mesh}`, process);
        return process;
      }),
    );
  for (const mesh of meshes) {
    await write(`${mesh}/control-plane.yaml`);
    await mkdir(join(directory, mesh, 'policies'));
  }
  const first = await startControlPlanes();
  for (const process of first) process.kill('SIGTERM');
  await Promise.all(first.map(({ ended }) => ended));
  for (const command of commands('cp ')) await run('sh', ['-c', command], { cwd: directory });
  for (const mesh of meshes) await write(`${mesh}/control-plane.yaml, further`);
  for (const path of ['east/policies/orders.yaml', 'west/policies/orders.yaml', 'east/web.yaml', 'west/orders.yaml']) {
    await write(path);
  }
  await startControlPlanes();

  for (const command of commands('npx lateral token ')) {
    const [line = '', target = ''] = command.split(' > ');
    const args = line
      .replace('npx lateral ', '')
      .replace(/(\S+\.yaml)/, join(directory, '$1'))
      .split(' ');
    const { stdout, stderr } = await runLateral(t, args);
    t.equal(stderr, '');
    await writeFile(join(directory, target), stdout, { mode: 0o600 });
  }
  for (const command of commands('npx lateral sidecar ')) {
    const args = command
      .replace('npx lateral ', '')
      .replace(' &', '')
      .replace(/(\S+\.yaml)/, join(directory, '$1'));
    await isReady(command, startLateral(t, args.split(' ')));
  }
  const [curl = ''] = commands('curl ');
  const ask = async () => (await run('sh', ['-c', `${curl} -sS -w ' %{http_code}'`])).stdout;
  t.equal(await ask(), 'from the app 200');

  const metrics = async () => (await fetch(`http://127.0.0.1:${portOf('15080')}/metrics`)).text();
  const fetched = /federation_last_success_timestamp_seconds\{trust_domain="west\.example"\} [1-9]/;
  await eventually('the bundle of the west was fetched', async () => fetched.test(await metrics()), START_TIMEOUT_MS);

  const policy = files.get('west/policies/orders.yaml') ?? '';
  await writeFile(join(directory, 'west/policies/orders.yaml'), policy.replace('east.example/', 'west.example/'));
  await eventually(
    'the same name of the own domain is another',
    async () => (await ask()).endsWith(' 403'),
    START_TIMEOUT_MS,
  );
});

/** The files and commands of the page, their ports free ones. */
async function example() {
  const names = [...new Set(page.match(PORTS) ?? [])];
  const free = await freePorts(names.length);
  const portOf = (name: string) => free[names.indexOf(name)] ?? 0;
  const text = page.replaceAll(PORTS, (name) => String(portOf(name)));
  const files = new Map(
    [...text.matchAll(/```yaml\n# (\S+(?:, further)?)\n([\s\S]*?)```/g)].map(([, path = '', body = '']) => [
      path,
      body,
    ]),
  );
  const lines = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, body = '']) => body.trim().split('\n'));
  const commands = (beginning: string) => {
    const found = lines.filter((line) => line.startsWith(beginning));
    if (found.length === 0) throw new Error(`the page has no command ${beginning}`);
    return found;
  };
  return { files, commands, portOf };
}

async function startApp(t: Test, port: number): Promise<void> {
  const app = createServer((_request, response) => response.end('from the app'));
  await new Promise<void>((resolve) => app.listen(port, '127.0.0.1', resolve));
  t.teardown(() => {
    app.close();
    app.closeAllConnections();
  });
}

async function isReady(what: string, { printed, ended }: LateralProcess): Promise<void> {
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  const isSo = () => printed.stdout.includes('"event":"ready"');
  await eventually(`${what} is ready`, () => hasEnded || isSo(), START_TIMEOUT_MS);
  if (!isSo()) throw new Error(`${what} ended: ${printed.stderr}`);
}
