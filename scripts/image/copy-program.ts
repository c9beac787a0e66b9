import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUNDLES, findBundle, MANIFEST } from '../../bin/find-bundle.mjs';
import { copyLicences } from './copy-licences.ts';

/** The entry point: the image has no shell, so the kernel starts Node itself. */
const ENTRY = "#!/lateral/bin/node\nimport './lateral.mjs';\n";

/** Puts the program below `target`: entry, the given Node, the bundle, and the licences of what is in it. */
export function copyProgram(source: string, node: string, target: string): void {
  const bin = join(target, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const name of ['lateral.mjs', 'find-bundle.mjs', 'sidecar-flags.mjs', 'control-plane-flags.mjs']) {
    copyFileSync(join(source, 'bin', name), join(bin, name));
  }
  writeFileSync(join(bin, 'lateral'), ENTRY);
  copyFileSync(node, join(bin, 'node'));
  for (const name of ['lateral', 'node']) chmodSync(join(bin, name), 0o755);
  const { name, version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
  writeFileSync(join(target, 'package.json'), `${JSON.stringify({ name, version, private: true, type: 'module' })}\n`);
  copyLicences(source, copyBundle(source, target), join(target, 'licences'));
}

/** The bundle that scripts/build.mjs has just made, never an older one. The image has no sources that it could be older than: no inputs. Returns the packages it is made of. */
function copyBundle(source: string, target: string): readonly string[] {
  if (findBundle(`${source}/`) === undefined) throw new Error('no bundle of the sources as they are; run it again');
  const manifest = readFileSync(join(source, MANIFEST), 'utf8');
  const { directory, packages }: { directory: string; packages: readonly string[] } = JSON.parse(manifest);
  const to = join(target, BUNDLES, directory);
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(join(source, BUNDLES, directory))) {
    if (name.endsWith('.mjs')) copyFileSync(join(source, BUNDLES, directory, name), join(to, name));
  }
  writeFileSync(join(target, MANIFEST), JSON.stringify({ directory, inputs: {} }));
  return packages;
}
