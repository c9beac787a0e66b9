import { randomBytes } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { localKeyWrapping } from '#control-plane/authority/key-wrapping.ts';
import { freePorts } from '../../support/free-ports.ts';
import { type MeshProcesses, type MeshSidecar, startMeshProcesses } from '../../support/mesh-processes.ts';
import { type LateralProcess, runLateral, startLateral } from '../../support/run-lateral.ts';
import { type Secret, secretBytes, secretKey, secretsIn, secretText } from '../../support/secret-needles.ts';
import { noTurningClock, startTurningClock } from '../../support/turning-clock.ts';
import { eventually } from '../control-plane-fixture.ts';

const MINUTE_MS = 60_000;
const PATIENCE_MS = 30_000;
/** Where a secret may be, by the name of the file. */
const PLACES: { readonly [file: string]: RegExp } = {
  'orders.token': /^token of orders$/,
  'web.token': /^token of web$/,
  'state-orders/identity.json': /^key of orders, renewed$/,
  'state-web/identity.json': /^key of web, renewed$/,
};

t.setTimeout(180_000);

t.test(
  'keys and tokens are where they are kept and nowhere else: through start, joining, renewal, restarts and refusals',
  { skip: noTurningClock, timeout: 170_000 },
  async (t) => {
    const wrappingKey = randomBytes(32);
    const secrets: Secret[] = [secretBytes('key of the keys', wrappingKey)];
    const printed: LateralProcess['printed'][] = [];
    const clock = await startTurningClock(t);
    const environment = { ...clock.environment, KEY_OF_KEYS: wrappingKey.toString('base64') };
    const mesh = await startMeshProcesses(t, {
      environment,
      authority: ', leafLifetime: 30m, keyEncryption: {keyEnvironment: KEY_OF_KEYS}',
    });
    printed.push(mesh.controlPlane.printed);
    await mesh.writePolicy('a.yaml', SERVICE);
    const run = async (...args: string[]) => {
      const answer = await runLateral(t, args, environment);
      printed.push(answer);
      return answer;
    };

    const sidecars = { orders: await mesh.startSidecar('orders', {}), web: await mesh.startSidecar('web', {}) };
    for (const [name, { process }] of Object.entries(sidecars)) {
      printed.push(process.printed);
      secrets.push(await tokenOf(mesh, name), await keyOf(mesh, name, `key of ${name}`));
    }
    secrets.push(...(await authorityKeys(mesh, wrappingKey)));

    await clock.turn(20 * MINUTE_MS);
    for (const [name, sidecar] of Object.entries(sidecars)) {
      await eventually(`${name} was renewed`, () => sidecar.events('certificate_in_use').length === 2, PATIENCE_MS);
      await eventually('and that is stored', async () => !(await hasKey(mesh, name, secrets)), PATIENCE_MS);
      secrets.push(await keyOf(mesh, name, `key of ${name}, renewed`));
    }

    const refused = await joinAgain(t, mesh, environment);
    printed.push(refused.printed);
    const says = () => /"waiting_for_certificate".*"token_used"/.test(refused.printed.stderr);
    await eventually('a used token is refused', says, PATIENCE_MS);
    refused.kill('SIGTERM');

    const config = join(mesh.directory, 'control-plane.yaml');
    t.match(await run('token', '--config', config, '--list'), { code: 0, stdout: /shop\/orders/ });
    const { stdout: operator } = await runLateral(t, ['token', '--config', config, '--operator'], environment);
    secrets.push(secretText('token of the operator', operator.trim().split('.')[2] ?? ''));
    await writeFile(join(mesh.directory, 'operator.token'), operator, { mode: 0o600 });
    const reach = ['--control-plane', mesh.address, '--token-file', join(mesh.directory, 'operator.token')];
    const proxies = await run('proxies', ...reach, '--trust-bundle', mesh.trustBundle, '--json');
    t.match(proxies, { code: 0, stdout: /orders-1/ });
    const pages = await answersOf(mesh, Object.values(sidecars));
    t.ok(pages.length >= 8 && pages.every((page) => page.length > 2), 'every page says something');

    mesh.controlPlane.kill('SIGTERM');
    await mesh.controlPlane.ended;
    const other = { ...environment, KEY_OF_KEYS: randomBytes(32).toString('hex') };
    const wrong = await runLateral(t, ['control-plane', '--config', config], other);
    printed.push(wrong);
    t.match(wrong, { code: 1, stderr: /is encrypted by the key with ID/ });
    const noKey = await runLateral(t, ['control-plane', '--config', config], {
      ...environment,
      KEY_OF_KEYS: 'rubbish-that-is-no-key-at-all',
    });
    printed.push(noKey);
    secrets.push(secretText('what was given for a key', 'rubbish-that-is-no-key-at-all'));
    t.match(noKey, { code: 1, stderr: /is not a key of 32 bytes/ });

    await clock.turn(20 * MINUTE_MS);
    await eventually('a renewal fails', () => sidecars.web.events('renewal_failed').length > 0, PATIENCE_MS);
    for (const { process } of Object.values(sidecars)) {
      process.kill('SIGTERM');
      await process.ended;
    }

    const output = [...printed.flatMap(({ stdout, stderr }) => [stdout, stderr]), ...pages].join('\n');
    t.ok(output.length > 5_000, 'much was said');
    t.strictSame(secretsIn(output, secrets), [], 'of secrets, nothing');
    const found: string[] = [];
    for (const file of await filesOf(mesh.directory)) {
      const text = await readFile(join(mesh.directory, file), 'latin1');
      for (const name of secretsIn(text, secrets)) {
        const isItsPlace =
          PLACES[file]?.test(name) === true || (file === 'operator.token' && name === 'token of the operator');
        if (isItsPlace) t.equal((await stat(join(mesh.directory, file))).mode & 0o077, 0, `${file} is private`);
        found.push(isItsPlace ? `${name}: kept` : `${name}: in ${file}`);
      }
    }
    t.strictSame(found.sort(), [
      'key of orders, renewed: kept',
      'key of web, renewed: kept',
      'token of orders: kept',
      'token of the operator: kept',
      'token of web: kept',
    ]);
  },
);

const SERVICE = `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.shop]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: 1, serviceAccount: orders}]
`;

async function tokenOf(mesh: MeshProcesses, name: string): Promise<Secret> {
  const token = await readFile(join(mesh.directory, `${name}.token`), 'utf8');
  return secretText(`token of ${name}`, token.trim().split('.')[2] ?? '');
}

const identityFile = (mesh: MeshProcesses, name: string) => join(mesh.directory, `state-${name}`, 'identity.json');

async function keyOf(mesh: MeshProcesses, name: string, what: string): Promise<Secret> {
  return secretKey(what, JSON.parse(await readFile(identityFile(mesh, name), 'utf8')).privateKeyPem);
}

/** Whether the key that is stored is one of those that are known. */
async function hasKey(mesh: MeshProcesses, name: string, secrets: readonly Secret[]): Promise<boolean> {
  const text = await readFile(identityFile(mesh, name), 'latin1');
  return secretsIn(JSON.parse(text).privateKeyPem, secrets).length > 0;
}

async function authorityKeys(mesh: MeshProcesses, wrappingKey: Buffer): Promise<Secret[]> {
  const wrapping = localKeyWrapping([wrappingKey]);
  const names = ['ca-key.pem', 'root-key.pem'];
  return Promise.all(
    names.map(async (name) => {
      const stored = await readFile(join(mesh.directory, 'state/ca', name), 'utf8');
      return secretKey(name, await wrapping.unwrap(stored, name));
    }),
  );
}

/** Another sidecar with the token that orders has used. */
async function joinAgain(t: Parameters<typeof startLateral>[0], mesh: MeshProcesses, environment: NodeJS.ProcessEnv) {
  const text = await readFile(join(mesh.directory, 'orders.yaml'), 'utf8');
  const file = join(mesh.directory, 'again.yaml');
  const ports = await freePorts(text.match(/port: \d+/g)?.length ?? 0);
  const changed = text
    .replace('state-orders', 'state-again')
    .replaceAll(/port: \d+/g, () => `port: ${ports.pop()}`)
    .replaceAll('orders.log', 'again.log');
  await writeFile(file, changed);
  return startLateral(t, ['sidecar', '--config', file], environment);
}

async function answersOf(mesh: MeshProcesses, sidecars: readonly MeshSidecar[]): Promise<string[]> {
  const get = async (port: number, path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  const pages = ['/metrics', '/proxies', '/decisions', '/readyz'].map((path) => get(mesh.statusPort, path));
  for (const name of ['orders', 'web']) {
    const { metrics } = parse(await readFile(join(mesh.directory, `${name}.yaml`), 'utf8'));
    pages.push(get(metrics.port, '/metrics'));
  }
  for (const { admin } of sidecars) pages.push(get(admin, '/config'));
  return Promise.all(pages);
}

async function filesOf(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
}
