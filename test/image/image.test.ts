import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { DEBIAN_PACKAGES } from '../../scripts/image/debian-packages.ts';
import { confined, serveInImage, TIMEOUT_MS } from './serve-in-image.ts';

const source = fileURLToPath(new URL('../..', import.meta.url));
const isRoot = process.getuid?.() === 0;
const hasApt = existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb');

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
      await serveInImage(t, folder, ['/lateral/bin/lateral'], (pid) => {
        // `env` and `chroot` become the sidecar itself: one process, with the flags of V8 that it wants
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        t.equal(command[0], '/lateral/bin/node');
        t.ok(
          command.some((word) => word.startsWith('--max-semi-space-size=')),
          command.join(' '),
        );
        t.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Uid:\t1337\t1337/m);
      });
    });
  },
);
