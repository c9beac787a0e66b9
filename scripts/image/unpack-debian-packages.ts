import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DebianPackage } from './fetch-debian-packages.ts';
import { runProgram } from './run-program.ts';

/** Parts of packages that nothing in the image reads. */
const LEFT_OUT = [
  './usr/share/doc/*/changelog*',
  './usr/share/doc/*/NEWS*',
  './usr/share/doc/*/examples',
  './usr/share/man',
  './usr/share/lintian',
  './usr/share/bug',
  './usr/lib/*/gconv',
  './usr/sbin/*-apply',
  './usr/bin',
];
/** In Debian these are links of one tree since bookworm; some packages still ship files in the old places. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64'];
const TABLES = ['iptables', 'ip6tables'].flatMap((name) => [name, `${name}-save`, `${name}-restore`]);

/** Puts the packages' files into the root folder, and what tells scanners that they are there. */
export function unpackDebianPackages(root: string, packages: readonly DebianPackage[]): void {
  for (const name of MERGED) {
    mkdirSync(join(root, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  const status = join(root, 'var/lib/dpkg/status.d');
  mkdirSync(status, { recursive: true });
  for (const { name, file, control } of packages) {
    const files = runProgram('dpkg-deb', ['--fsys-tarfile', file]);
    const excludes = LEFT_OUT.map((pattern) => `--exclude=${pattern}`);
    const options = ['--extract', '--keep-directory-symlink', '--no-same-owner', '--preserve-permissions', ...excludes];
    runProgram('tar', [...options, `--directory=${root}`], { input: files });
    writeFileSync(join(status, name), control);
  }
  // what Debian leaves to update-alternatives: the kernel's nf_tables
  const sbin = join(root, 'usr/sbin');
  for (const name of TABLES) symlinkSync('xtables-nft-multi', join(sbin, name));
  if (readdirSync(sbin).includes('ldconfig')) rmSync(join(sbin, 'ldconfig'));
}
