import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from './architecture.ts';
import { DEBIAN_PACKAGES, DEBIAN_RELEASE } from './debian-packages.ts';
import { runProgram } from './run-program.ts';

/** A package of Debian, downloaded. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly file: string;
  readonly sha256: string;
  /** Its control fields, as `dpkg -s` shows them. */
  readonly control: string;
}

/** Every package of DEBIAN_PACKAGES, below `folder`; downloaded by apt (which checks its signatures) unless it is there already. */
export function fetchDebianPackages(folder: string, wanted: Architecture): DebianPackage[] {
  const apt = aptOf(folder, wanted);
  return Object.entries(DEBIAN_PACKAGES).map(([name, version]) => {
    const there = packageOf(folder, name, version, wanted);
    if (there !== undefined) return there;
    const fetched = apt(name, version);
    const made = packageOf(folder, name, fetched, wanted);
    if (made === undefined) throw new Error(`apt-get download ${name}=${fetched} left no file in ${folder}`);
    return made;
  });
}

/** Downloads one package; returns its version. Lists of packages, of that architecture alone, are fetched when first needed, into `folder`: no root. */
function aptOf(folder: string, wanted: Architecture): (name: string, version: string) => string {
  let options: string[] | undefined;
  const prepare = (): string[] => {
    const lists = join(folder, `lists-${wanted}`);
    const cache = join(folder, `cache-${wanted}`);
    for (const part of [`${lists}/partial`, `${cache}/archives/partial`]) mkdirSync(part, { recursive: true });
    const settings = [
      `Dir::State::lists=${lists}`,
      `Dir::Cache=${cache}`,
      'APT::Sandbox::User=',
      `APT::Architecture=${wanted}`,
      `APT::Architectures=${wanted}`,
    ];
    const own = settings.flatMap((setting) => ['-o', setting]);
    process.stderr.write(`image: asking Debian which packages it has for ${wanted} …\n`);
    runProgram('apt-get', [...own, '-q', 'update']);
    return own;
  };
  return (name, version) => {
    options ??= prepare();
    try {
      runProgram('apt-get', [...options, '-q', 'download', `${name}=${version}`], { cwd: folder });
      return version;
    } catch {
      const shown = runProgram('apt-cache', [...options, 'policy', name]).toString();
      const candidate = /Candidate: (\S+)/.exec(shown)?.[1];
      if (candidate === undefined || candidate === '(none)') {
        throw new Error(
          `apt has no package ${name}: the image is made on Debian ${DEBIAN_RELEASE}, or by "docker build ."`,
        );
      }
      process.stderr.write(`image: ${name} ${candidate} in place of ${version} (scripts/image/debian-packages.ts)\n`);
      runProgram('apt-get', [...options, '-q', 'download', `${name}=${candidate}`], { cwd: folder });
      return candidate;
    }
  };
}

function packageOf(folder: string, name: string, version: string, wanted: Architecture): DebianPackage | undefined {
  const start = `${name}_${version.replaceAll(':', '%3a')}_`;
  const files = new Set(readdirSync(folder));
  const architecture = [wanted, 'all'].find((known) => files.has(`${start}${known}.deb`));
  if (architecture === undefined) return undefined;
  const file = join(folder, `${start}${architecture}.deb`);
  const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
  const control = runProgram('dpkg-deb', ['--field', file]).toString();
  return { name, version, architecture, file, sha256, control };
}
