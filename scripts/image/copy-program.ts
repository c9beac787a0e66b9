import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { BUNDLES, findBundle, MANIFEST } from '../../bin/find-bundle.mjs';
import { PACKAGES } from '../build.mjs';

/** The entry point: the image has no shell, so the kernel starts Node itself. */
const ENTRY = "#!/lateral/bin/node\nimport './lateral.mjs';\n";
/** Parts of npm packages that no program reads at run time. */
const LEFT_OUT = /\.(d\.[cm]?ts|map|md|markdown|tsbuildinfo)$/;

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: { readonly [name: string]: string };
}

/** Puts the program below `target`: entry, Node, bundle, and the packages that the bundle leaves outside of itself. */
export function copyProgram(source: string, target: string): void {
  const bin = join(target, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const name of ['lateral.mjs', 'find-bundle.mjs', 'sidecar-flags.mjs', 'control-plane-flags.mjs']) {
    copyFileSync(join(source, 'bin', name), join(bin, name));
  }
  writeFileSync(join(bin, 'lateral'), ENTRY);
  copyFileSync(join(source, 'node_modules/node/bin/node'), join(bin, 'node'));
  for (const name of ['lateral', 'node']) chmodSync(join(bin, name), 0o755);
  const { name, version, dependencies = {} } = manifestOf(source);
  writeFileSync(join(target, 'package.json'), `${JSON.stringify({ name, version, private: true, type: 'module' })}\n`);
  copyBundle(source, target);
  const copied = new Set<string>();
  for (const dependency of Object.keys(dependencies)) {
    if (PACKAGES.some((pattern) => isMatch(pattern, dependency)))
      copyPackage(source, source, dependency, target, copied);
  }
}

/** The bundle that scripts/build.mjs has just made, never an older one. The image has no sources that it could be older than: no inputs. */
function copyBundle(source: string, target: string): void {
  if (findBundle(`${source}/`) === undefined) throw new Error('no bundle of the sources as they are; run it again');
  const { directory }: { directory: string } = JSON.parse(readFileSync(join(source, MANIFEST), 'utf8'));
  const to = join(target, BUNDLES, directory);
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(join(source, BUNDLES, directory))) {
    if (name.endsWith('.mjs')) copyFileSync(join(source, BUNDLES, directory, name), join(to, name));
  }
  writeFileSync(join(target, MANIFEST), JSON.stringify({ directory, inputs: {} }));
}

/** A package as `from` would load it, and all that it needs in its turn, each at the place it has in node_modules. */
function copyPackage(source: string, from: string, name: string, target: string, copied: Set<string>): void {
  const place = placeOf(source, from, name);
  // not installed: an optional one; types are for compilers
  if (place === undefined || copied.has(place) || name.startsWith('@types/')) return;
  copied.add(place);
  cpSync(place, join(target, place.slice(source.length)), {
    recursive: true,
    filter: (path) => !LEFT_OUT.test(path) && !path.slice(place.length).includes('/node_modules'),
  });
  for (const dependency of Object.keys(manifestOf(place).dependencies ?? {})) {
    copyPackage(source, place, dependency, target, copied);
  }
}

function placeOf(source: string, from: string, name: string): string | undefined {
  for (let folder = from; folder.length >= source.length; folder = dirname(folder)) {
    const place = join(folder, 'node_modules', name);
    if (existsSync(join(place, 'package.json'))) return place;
    if (folder === source) break;
  }
  return undefined;
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}

/** `@grpc/*` and plain names. */
function isMatch(pattern: string, name: string): boolean {
  return pattern.endsWith('/*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}
