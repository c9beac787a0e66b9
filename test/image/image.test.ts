import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openTraceSink } from '../../examples/shop/trace-sink.ts';
import { DEBIAN_PACKAGES } from '../../scripts/image/debian-packages.ts';
import { TestAuthority } from '../support/certificates.ts';
import { freePorts } from '../support/free-ports.ts';
import { ask, startApp } from '../support/start-app.ts';

const source = fileURLToPath(new URL('../..', import.meta.url));
const isRoot = process.getuid?.() === 0;
const hasApt = existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb');
const TIMEOUT_MS = 20_000;

/** Longest build: the first one downloads Debian's lists and packages. */
const BUILD_TIMEOUT_MS = 110_000;

t.test(
  'the image',
  { skip: hasApt ? false : 'needs apt-get and dpkg-deb', timeout: 2 * BUILD_TIMEOUT_MS },
  async (t) => {
    const folder = join(t.testdir(), 'image');
    const made = spawnSync(process.execPath, [join(source, 'scripts/image.ts'), folder], {
      encoding: 'utf8',
      timeout: BUILD_TIMEOUT_MS,
    });
    if (/Unable to fetch|Could not resolve|Failed to fetch/.test(made.stderr)) {
      t.comment(made.stderr);
      return; // no mirror in reach: nothing to look at
    }
    t.equal(made.status, 0, made.stderr);

    t.test('has its entry, its user and no shell', async (t) => {
      t.ok(statSync(join(folder, 'lateral/bin/lateral')).mode & 0o111);
      t.match(readFileSync(join(folder, 'etc/passwd'), 'utf8'), /^lateral:x:1337:1337:/m);
      for (const shell of ['bin/sh', 'bin/bash', 'bin/dash']) t.notOk(existsSync(join(folder, shell)), shell);
      t.equal(lstatSync(join(folder, 'tmp')).mode & 0o7777, 0o1777);
    });

    t.test('is under 200 MB, and all its files have one time', async (t) => {
      const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) =>
        lstatSync(join(folder, path)),
      );
      const bytes = files.filter((file) => file.isFile()).reduce((sum, { size }) => sum + size, 0);
      t.ok(bytes < 200_000_000, `${bytes} bytes`);
      t.equal(new Set(files.map(({ mtimeMs }) => mtimeMs)).size, 1);
    });

    t.test('takes the nf_tables variant of iptables for every name', async (t) => {
      for (const family of ['iptables', 'ip6tables']) {
        for (const name of [family, `${family}-save`, `${family}-restore`]) {
          t.equal(readlinkSync(join(folder, 'usr/sbin', name)), 'xtables-nft-multi');
        }
      }
    });

    t.test('names what is in it (CycloneDX)', async (t) => {
      const bill = JSON.parse(readFileSync(join(folder, 'lateral/image.cdx.json'), 'utf8'));
      t.equal(bill.bomFormat, 'CycloneDX');
      t.equal(readFileSync(`${folder}.cdx.json`, 'utf8'), readFileSync(join(folder, 'lateral/image.cdx.json'), 'utf8'));
      const names = new Set<string>(bill.components.map(({ name }: { name: string }) => name));
      for (const name of Object.keys(DEBIAN_PACKAGES)) t.ok(names.has(name), name);
      const { dependencies } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
      for (const name of Object.keys(dependencies)) t.ok(names.has(name), name);
      const licences = join(folder, 'lateral/licences');
      const texts = readdirSync(licences, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      const bundled = new Set(texts.map(({ parentPath }) => relative(licences, parentPath)));
      for (const name of ['@grpc/grpc-js', 'yaml']) {
        t.ok(
          [...bundled].some((place) => place.startsWith(`${name}@`)),
          name,
        );
      }
      for (const place of bundled) t.ok(names.has(place.slice(0, place.lastIndexOf('@'))), place);
    });

    t.test('runs in its own root', { skip: isRoot ? false : 'chroot needs root' }, async (t) => {
      const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
      const inside = (...args: string[]) => {
        const [program, rest] = confined(folder, ...args);
        return spawnSync(program, rest, { timeout: TIMEOUT_MS, encoding: 'utf8' });
      };
      t.equal(inside('/lateral/bin/lateral', '--version').stdout, `${version}\n`);
      t.match(inside('/lateral/bin/lateral', 'check', '/nowhere').stdout, /nowhere/);
      t.match(inside('/lateral/bin/lateral', 'init', '--dry-run').stdout, /REDIRECT --to-ports? 15006/);
      for (const name of ['iptables-restore', 'ip6tables-restore', 'iptables-save']) {
        t.match(inside(name, '--version').stdout, /v1\.\d+\.\d+ \(nf_tables\)/, name);
      }
    });

    const canIsolate = isRoot && spawnSync('unshare', ['--net', 'true']).status === 0;
    t.test('its iptables redirects a network namespace', { skip: canIsolate ? false : 'needs root' }, async (t) => {
      // as in a pod: root, in a network of its own
      const words = ['env', '-i', 'PATH=/usr/sbin:/usr/bin', 'chroot', folder, '/lateral/bin/lateral', 'init'];
      const { status, stdout, stderr } = spawnSync('unshare', ['--net', ...words], {
        timeout: TIMEOUT_MS,
        encoding: 'utf8',
      });
      t.equal(status, 0, stderr);
      t.match(JSON.parse(stdout), { event: 'redirected', inboundPort: 15006, proxyUid: 1337 });
    });

    t.test('a sidecar serves in it as user 1337', { skip: isRoot ? false : 'chroot needs root' }, async (t) => {
      const [port = 0, admin = 0, metrics = 0] = await freePorts(3);
      const collector = await openTraceSink();
      t.teardown(() => collector.close());
      const app = await startApp(t, (_request, response) => response.end());
      const authority = new TestAuthority();
      const own = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
      const state = join(folder, 'tmp/sidecar');
      mkdirSync(join(state, 'policies'), { recursive: true });
      const files = { 'ca.pem': authority.rootPem, 'server.pem': own.cert, 'server.key': own.key };
      for (const [name, text] of Object.entries(files)) writeFileSync(join(state, name), text);
      writeFileSync(
        join(state, 'policies/mesh.yaml'),
        'apiVersion: lateral.dev/v1alpha1\nkind: MeshDefaults\nmetadata: {name: default, namespace: lateral-system}\nspec: {outbound: AllowAny}\n',
      );
      writeFileSync(
        join(state, 'sidecar.yaml'),
        `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server-1, namespace: test, serviceAccount: server}
standalone: {policies: ./policies, certificate: server.pem, privateKey: server.key, trustBundle: ca.pem}
outbound: {port: ${port}}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {otlp: "http://127.0.0.1:${collector.port}", accessLog: off}
`,
      );
      const [program, args] = confined(
        folder,
        '/lateral/bin/lateral',
        'sidecar',
        '--config',
        '/tmp/sidecar/sidecar.yaml',
      );
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      t.teardown(() => child.kill('SIGKILL'));
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const [line] = await once(createInterface({ input: child.stdout }), 'line', { signal });
      t.match(JSON.parse(line), { event: 'ready' });
      t.equal((await fetch(`http://127.0.0.1:${metrics}/readyz`)).status, 200);
      // `env` and `chroot` become the sidecar itself: one process, with the flags of V8 that it wants
      const command = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').split('\0');
      t.equal(command[0], '/lateral/bin/node');
      t.ok(
        command.some((word) => word.startsWith('--max-semi-space-size=')),
        command.join(' '),
      );
      t.match(readFileSync(`/proc/${child.pid}/status`, 'utf8'), /^Uid:\t1337\t1337/m);
      const { status } = await ask(port, { path: '/', headers: { host: `127.0.0.1:${app.port}` } });
      t.equal(status, 200);
      child.kill('SIGTERM');
      t.strictSame(await once(child, 'exit', { signal }), [0, null]);
      t.strictSame(collector.spans.map(({ kind }) => kind).sort(), ['client', 'server'], 'its spans left');
    });
  },
);

/** A command in the image's root, as its user. `env -i`: tap's own loader, which it gives to every child, is not in there. */
function confined(folder: string, ...args: string[]): [program: string, args: string[]] {
  return ['env', ['-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'chroot', '--userspec=1337:1337', folder, ...args]];
}
