// Bundles `lateral` into build/ (git-ignored): without the type stripper and some 150 files to read, a sidecar starts
// in 0.24 s, not 0.40, and with 15 MB less. bin/lateral.mjs takes the bundle while it is made of the
// very sources that are there, and the sources otherwise. Plain JavaScript, for any Node from 18.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUNDLES, findBundle, fingerprint, MANIFEST } from '../bin/find-bundle.mjs';
import { leanHttp, visibleRequires } from './bundle-plugins.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Looked at besides the sources: npm writes the first with every install. */
const ALSO_INPUTS = [
  'node_modules/.package-lock.json',
  'package.json',
  'scripts/build.mjs',
  'scripts/bundle-plugins.mjs',
];
/** A sidecar that still runs loads parts of its bundle later: older bundles are kept this long. */
const KEEP_MS = 24 * 60 * 60 * 1000;
/**
 * What is asked for and not needed: by grpc-js for services that no program here offers (channelz, ORCA; 300 KB of protobufjs), and
 * by the package debug, which does without it, where some developers' tool happens to bring it.
 */
const NEVER_LOADED = ['@grpc/proto-loader', 'supports-color'];
/** Lines of the bundle: stack traces name a line and its column. */
const LINE_CHARACTERS = 200;
/** CommonJS packages ask for modules of Node's. */
const BANNER = `import { createRequire as requireOf } from 'node:module';\nconst require = requireOf(import.meta.url);`;

/** How sources become a bundle; paths are of the root of the project. */
export const BUNDLING = {
  bundle: true,
  splitting: true, // what a sidecar does not use, it does not load
  format: 'esm',
  platform: 'node',
  target: 'node26',
  outExtension: { '.js': '.mjs' },
  banner: { js: BANNER },
  sourcemap: 'linked', // read only by those who run it with --enable-source-maps
  sourcesContent: false,
  inject: ['scripts/bundle-globals.mjs'],
  minifyWhitespace: true, // V8 keeps the text: 3 MB less in a sidecar; names stay for stack traces
  lineLimit: LINE_CHARACTERS,
  legalComments: 'none', // the image holds the licences as files
  plugins: [leanHttp, visibleRequires],
  external: NEVER_LOADED,
  tsconfigRaw: '{}', // nothing that is not an input
  logLevel: 'silent',
};

/** A bundle of the sources is there afterwards, unless it cannot be made: then the sources run, and stderr says why. */
export async function build() {
  if (findBundle(root) !== undefined) return;
  const startedAtMs = Date.now();
  try {
    const { build: bundle } = await import('esbuild');
    const { outputFiles, metafile } = await bundle({
      absWorkingDir: root,
      entryPoints: {
        main: 'cli/main.ts',
        'traffic-worker': 'sidecar/workers/traffic-worker.ts',
        'document-worker': 'control-plane/documents/document-worker.ts',
        'folder-worker': 'files/folder-worker.ts',
        'judge-worker': 'control-plane/webhook/judge-worker.ts',
        'validator-worker': 'sidecar/policy/validator-worker.ts',
        'judging-worker': 'sidecar/policy/judging-worker.ts',
      },
      ...BUNDLING,
      outdir: BUNDLES,
      metafile: true,
      write: false,
    });
    const hash = createHash('sha256');
    for (const { path, contents } of outputFiles) hash.update(`${basename(path)}\0`).update(contents);
    const directory = hash.digest('hex').slice(0, 16);
    writeBundle(`${root}${BUNDLES}/${directory}`, outputFiles);
    const inputs = fingerprints(Object.keys(metafile.inputs), startedAtMs);
    const manifest = { directory, inputs, packages: packagesOf(Object.keys(metafile.inputs)) };
    replaceWhole(`${root}${MANIFEST}`, (path) => writeFileSync(path, JSON.stringify(manifest)));
    removeOld(directory);
  } catch (error) {
    const [reason] = String(error?.message ?? error).split('\n');
    process.stderr.write(`lateral: not bundled (${reason}); the sources are run, with more memory\n`);
  }
}

/** Throws when a file was written while it was bundled: which of its contents went in cannot be told. */
function fingerprints(paths, startedAtMs) {
  const own = paths.filter((path) => !/(^|\/)node_modules\/|^lean-http:/.test(path));
  const entries = [...new Set([...own, ...ALSO_INPUTS])].map((path) => {
    if (statSync(`${root}${path}`).ctimeMs >= startedAtMs) throw new Error(`${path} is being written`);
    return [path, fingerprint(`${root}${path}`)];
  });
  return Object.fromEntries(entries);
}

/** The folders of the npm packages of which anything is in the bundle. */
function packagesOf(paths) {
  const folders = paths.map((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0]);
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort();
}

function writeBundle(folder, outputFiles) {
  if (existsSync(folder)) return;
  replaceWhole(folder, (unfinished) => {
    mkdirSync(unfinished, { recursive: true });
    for (const { path, contents } of outputFiles) writeFileSync(`${unfinished}/${basename(path)}`, contents);
  });
}

/** What `write` makes appears under `path` as a whole, also when two builds run at once. */
function replaceWhole(path, write) {
  const unfinished = `${path}.${process.pid}.tmp`;
  write(unfinished);
  try {
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    if (!existsSync(path)) throw error; // else another build made the same
  }
}

function removeOld(current) {
  for (const name of readdirSync(`${root}${BUNDLES}`)) {
    const path = `${root}${BUNDLES}/${name}`;
    if (name === current || path.endsWith(MANIFEST) || statSync(path).mtimeMs > Date.now() - KEEP_MS) continue;
    rmSync(path, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build();
