import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { type Architecture, nodeNameOf, ownArchitecture } from './architecture.ts';
import { runProgram } from './run-program.ts';

/** The version of the npm package `node` that package.json names, and what its packages for each architecture are (npm's `integrity`). */
export const NODE_VERSION = '26.10.0';
const INTEGRITY: { readonly [name in Architecture]: string } = {
  amd64: 'sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==',
  arm64: 'sha512-idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==',
};

/**
 * The program Node for an architecture: the installed one, or that of npm's package for another, downloaded below `folder` unless
 * it is there.
 */
export function fetchNode(source: string, folder: string, architecture: Architecture): string {
  if (architecture === ownArchitecture()) return join(source, 'node_modules/node/bin/node');
  const name = `node-linux-${nodeNameOf(architecture)}`;
  const archive = join(folder, `${name}-${NODE_VERSION}.tgz`);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(archive)) {
    process.stderr.write(`image: asking npm for ${name} ${NODE_VERSION} …\n`);
    runProgram('npm', ['pack', `${name}@${NODE_VERSION}`, '--pack-destination', folder, '--silent'], { cwd: folder });
  }
  const integrity = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (integrity !== INTEGRITY[architecture]) {
    throw new Error(`${archive} is ${integrity}, expected ${INTEGRITY[architecture]} (scripts/image/fetch-node.ts)`);
  }
  const unpacked = join(folder, `${name}-${NODE_VERSION}`);
  mkdirSync(unpacked, { recursive: true });
  runProgram('tar', ['--extract', `--file=${archive}`, `--directory=${unpacked}`, 'package/bin/node']);
  return join(unpacked, 'package/bin/node');
}
