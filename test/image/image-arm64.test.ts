import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { missingSidecarFlags } from '../../bin/sidecar-flags.mjs';
import { NODE_VERSION } from '../../scripts/image/fetch-node.ts';
import { confined, serveInImage, TIMEOUT_MS } from './serve-in-image.ts';

const source = fileURLToPath(new URL('../..', import.meta.url));
/** Debian's qemu-user-static: runs one program of the other architecture. */
const EMULATOR = '/usr/bin/qemu-aarch64-static';
/** Longest build: the first one downloads Debian's lists and packages, and Node. */
const BUILD_TIMEOUT_MS = 170_000;
const ELF = Buffer.from('\x7fELF', 'latin1');
/** elf(5): where `e_machine` is, and what it is. */
const MACHINE_OFFSET = 18;
const EM_AARCH64 = 183;

t.test('the version of Node that is fetched is the one that is installed', async (t) => {
  const { dependencies } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
  t.equal(NODE_VERSION, dependencies.node);
});

const canBuild = process.arch === 'x64' && existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb');

t.test(
  'the image for arm64, made on another architecture',
  { skip: canBuild ? false : 'needs apt-get, dpkg-deb, and x64', timeout: BUILD_TIMEOUT_MS + 4 * TIMEOUT_MS },
  async (t) => {
    const folder = join(t.testdir(), 'image');
    const made = spawnSync(process.execPath, [join(source, 'scripts/image.ts'), '--arch', 'arm64', folder], {
      encoding: 'utf8',
      timeout: BUILD_TIMEOUT_MS,
    });
    if (/Unable to fetch|Could not resolve|Failed to fetch|npm pack/.test(made.stderr)) {
      t.comment(made.stderr);
      return; // no mirror in reach: nothing to look at
    }
    t.equal(made.status, 0, made.stderr);

    t.test('holds programs and libraries of arm64 alone', async (t) => {
      const binaries = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => join(parentPath, name))
        .filter((path) => headOf(path).subarray(0, ELF.length).equals(ELF));
      t.ok(binaries.length > 10, `${binaries.length} of them`);
      for (const path of binaries) t.equal(headOf(path).readUInt16LE(MACHINE_OFFSET), EM_AARCH64, path);
      const bill = readFileSync(`${folder}.cdx.json`, 'utf8');
      t.match(bill, /pkg:deb\/debian\/libc6@[^"]+arch=arm64/);
      t.notMatch(bill, /arch=amd64/);
    });

    const canRun = process.getuid?.() === 0 && existsSync(EMULATOR);
    const skip = canRun ? false : 'needs root, and qemu-user-static';
    if (canRun) copyFileSync(EMULATOR, join(folder, 'emulator'));
    const node = ['/emulator', '/lateral/bin/node'];

    t.test('runs, and calls the C library', { skip }, async (t) => {
      const inside = (...args: string[]) => {
        const [program, rest] = confined(folder, ...args);
        return spawnSync(program, rest, { timeout: TIMEOUT_MS, encoding: 'utf8' });
      };
      const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
      t.equal(inside(...node, '/lateral/bin/lateral.mjs', '--version').stdout, `${version}\n`);
      t.match(inside(...node, '/lateral/bin/lateral.mjs', 'init', '--dry-run').stdout, /REDIRECT --to-ports? 15006/);
      const call =
        'process.getBuiltinModule("node:ffi").dlopen(null, {getuid: {arguments: [], return: "u32"}}).functions.getuid()';
      t.equal(inside(...node, '--print', call).stdout, '1337\n');
      const iptables = inside('/emulator', '-0', 'iptables-restore', '/usr/sbin/xtables-nft-multi', '--version');
      t.match(iptables.stdout, /v1\.\d+\.\d+ \(nf_tables\)/);
    });

    // its flags are given: an emulated program cannot become another
    const flags = missingSidecarFlags(Number.parseInt(NODE_VERSION, 10), []);
    t.test('a sidecar serves in it', { skip }, (t) =>
      serveInImage(t, folder, [...node, ...flags, '/lateral/bin/lateral.mjs'], () => {}),
    );
  },
);

function headOf(path: string): Buffer {
  return readFileSync(path).subarray(0, MACHINE_OFFSET + 2);
}
