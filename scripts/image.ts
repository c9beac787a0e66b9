import { chmodSync, lutimesSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from './build.mjs';
import { architectureOf, ownArchitecture } from './image/architecture.ts';
import { copyProgram } from './image/copy-program.ts';
import { DEBIAN_RELEASE } from './image/debian-packages.ts';
import { fetchDebianPackages } from './image/fetch-debian-packages.ts';
import { fetchNode } from './image/fetch-node.ts';
import { runProgram } from './image/run-program.ts';
import { softwareBill } from './image/software-bill.ts';
import { writeSystemFiles } from './image/system-files.ts';
import { unpackDebianPackages } from './image/unpack-debian-packages.ts';
import { root as source } from './run-step.ts';

/**
 * `npm run image [-- --arch amd64|arm64] [FOLDER]`: the image's root folder in build/image (build/image-ARCH where that is not this
 * machine's), its bill of materials beside it, in build/image.cdx.json. Nothing of the other architecture is run. The Dockerfile runs
 * this too, so that an image is the same with an engine and without.
 */
const { values, positionals } = parseArgs({ options: { arch: { type: 'string' } }, allowPositionals: true });
const architecture = values.arch === undefined ? ownArchitecture() : architectureOf(values.arch);
const ending = architecture === ownArchitecture() ? '' : `-${architecture}`;
const root = resolve(positionals[0] ?? `${source}build/image${ending}`);
const unfinished = `${root}.${process.pid}.tmp`;

/** Larger images are a defect. */
const MAX_IMAGE_BYTES = 200_000_000;

const time = sourceTime();
const downloads = `${source}build/debian`;
process.umask(0o022);
mkdirSync(downloads, { recursive: true });
rmSync(unfinished, { recursive: true, force: true });
mkdirSync(unfinished, { recursive: true });
chmodSync(unfinished, 0o755);
try {
  await build(); // the sources may have changed since they were bundled last
  const packages = fetchDebianPackages(downloads, architecture);
  unpackDebianPackages(unfinished, packages);
  writeSystemFiles(unfinished);
  const node = fetchNode(source, `${source}build/node`, architecture);
  copyProgram(source.replace(/\/$/, ''), node, join(unfinished, 'lateral'));
  const bill = softwareBill(source, packages, DEBIAN_RELEASE, time);
  writeFileSync(join(unfinished, 'lateral/image.cdx.json'), bill);
  writeFileSync(`${root}.cdx.json`, bill);
  const bytes = settle(unfinished);
  if (bytes > MAX_IMAGE_BYTES) throw new Error(`${bytes} bytes exceed ${MAX_IMAGE_BYTES}`);
  rmSync(root, { recursive: true, force: true });
  renameSync(unfinished, root);
  process.stdout.write(
    `${root}: ${(bytes / 1e6).toFixed(0)} MB for ${architecture}, ${packages.length} Debian packages\n`,
  );
} catch (error) {
  rmSync(unfinished, { recursive: true, force: true });
  process.stderr.write(`image: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

/** When the sources were last changed: SOURCE_DATE_EPOCH, else the last commit's time, else none at all. */
function sourceTime(): Date {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined && /^\d+$/.test(given)) return new Date(Number(given) * 1_000);
  try {
    return new Date(Number(runProgram('git', ['log', '-1', '--format=%ct'], { cwd: source })) * 1_000);
  } catch {
    return new Date(0); // sources without their history, as in the Dockerfile
  }
}

/** Gives every file the same time, so that equal contents make equal layers; returns the bytes of all files. */
function settle(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += settle(path);
    else if (entry.isFile()) bytes += statSync(path).size;
    lutimesSync(path, time, time);
  }
  lutimesSync(folder, time, time);
  return bytes;
}
