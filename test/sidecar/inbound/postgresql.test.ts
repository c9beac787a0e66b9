import { execFile, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { freePorts, listen, portOf } from '../../support/free-ports.ts';
import {
  ALLOW_ANYBODY,
  ALLOW_CLIENT,
  DISABLE,
  type InboundSidecar,
  PERMISSIVE,
  startInbound,
  until,
} from '../../support/inbound-sidecar.ts';

const run = promisify(execFile);
const ROOT = '/usr/lib/postgresql';
const bin = (existsSync(ROOT) ? readdirSync(ROOT) : [])
  .map((version) => join(ROOT, version, 'bin'))
  .find((folder) => existsSync(join(folder, 'postgres')) && existsSync(join(folder, 'psql')));

/** PostgreSQL refuses to run as root: there its own user takes its place. */
function user(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string) => Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout);
  return { uid: id('-u'), gid: id('-g') };
}

async function startPostgres(t: Test, folder: string): Promise<number> {
  const as = user();
  const data = mkdtempSync(join(tmpdir(), 'lateral-postgres-'));
  chmodSync(data, 0o700);
  if (as.uid !== undefined && as.gid !== undefined) chownSync(data, as.uid, as.gid);
  const init = ['-D', data, '-U', 'shop', '--auth=trust', '--no-sync', '--no-instructions', '-E', 'UTF8', '--locale=C'];
  await run(join(folder, 'initdb'), init, { ...as, cwd: '/' });
  const [port = 0] = await freePorts(1);
  const settings = ['-c', 'fsync=off', '-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${data}`];
  const server = spawn(join(folder, 'postgres'), ['-D', data, '-p', String(port), ...settings], {
    ...as,
    cwd: '/',
    stdio: 'ignore',
  });
  t.teardown(async () => {
    server.kill('SIGQUIT');
    await new Promise((resolve) => server.on('exit', resolve));
    rmSync(data, { recursive: true, force: true });
  });
  await until(() => spawnSync(join(folder, 'pg_isready'), ['-h', '127.0.0.1', '-p', String(port)]).status === 0);
  return port;
}

/** Stands before a client that knows nothing of the mesh, as a sidecar of its own does for TCP. */
async function plaintextEntrance(t: Test, sidecar: InboundSidecar, serviceAccount: string): Promise<number> {
  const server = await listen(
    net.createServer({ allowHalfOpen: true }, async (client) => {
      client.on('error', () => {});
      const secure = await sidecar.connectTls(serviceAccount);
      client.pipe(secure).pipe(client);
    }),
  );
  t.teardown(() => server.close());
  return portOf(server);
}

t.test(
  'psql works through the mesh, and not as a stranger',
  { skip: bin === undefined && 'no PostgreSQL here' },
  async (t) => {
    if (bin === undefined) return;
    const database = await startPostgres(t, bin);
    const sidecar = await startInbound(t, database, 'tcp', ALLOW_CLIENT);
    const psql = (port: number, sql: string) =>
      run(join(bin, 'psql'), ['-h', '127.0.0.1', '-p', String(port), '-U', 'shop', '-d', 'postgres', '-qAtc', sql]);
    const entrance = await plaintextEntrance(t, sidecar, 'client');
    t.equal((await psql(entrance, 'select 6 * 7')).stdout, '42\n');
    const { stdout } = await psql(
      entrance,
      "select md5(string_agg(repeat('x', 1000), '')) from generate_series(1, 20000)",
    );
    t.match(stdout, /^[0-9a-f]{32}\n$/);
    const large = await run(
      join(bin, 'psql'),
      [
        '-h',
        '127.0.0.1',
        '-p',
        String(entrance),
        '-U',
        'shop',
        '-d',
        'postgres',
        '-qAtc',
        "select repeat('x', 5000000)",
      ],
      { maxBuffer: 10_000_000 },
    );
    t.equal(large.stdout.length, 5_000_001);
    const stranger = await plaintextEntrance(t, sidecar, 'stranger');
    await t.rejects(psql(stranger, 'select 1'), /server closed the connection/);
    for (const policy of [PERMISSIVE, DISABLE]) {
      await sidecar.setPolicies(ALLOW_ANYBODY + policy);
      t.equal((await psql(sidecar.port, 'select 6 * 7')).stdout, '42\n', `in plaintext, ${policy.match(/mode: \w+/)}`);
    }
    const lines = await sidecar.log(6);
    t.strictSame(
      lines.map(({ decision }) => decision),
      ['allow', 'allow', 'allow', 'deny', 'allow', 'allow'],
    );
  },
);
