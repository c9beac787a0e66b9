import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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
export function fetchDebianPackages(folder: string): DebianPackage[] {
  const apt = aptOf(folder);
  return Object.entries(DEBIAN_PACKAGES).map(([name, version]) => {
    const there = packageOf(folder, name, version);
    if (there !== undefined) return there;
    const fetched = apt(name, version);
    const made = packageOf(folder, name, fetched);
    if (made === undefined) throw new Error(`apt-get download ${name}=${fetched} left no file in ${folder}`);
    return made;
  });
}

/** Downloads one package; returns its version. The lists of packages are fetched when first needed, into `folder`: no root. */
function aptOf(folder: string): (name: string, version: string) => string {
  let options: string[] | undefined;
  const prepare = (): string[] => {
    for (const part of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(folder, part), { recursive: true });
    const own = [
      '-o',
      `Dir::State::lists=${folder}/lists`,
      '-o',
      `Dir::Cache=${folder}/cache`,
      '-o',
      'APT::Sandbox::User=',
    ];
    process.stderr.write('image: asking Debian which packages it has …\n');
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

function packageOf(folder: string, name: string, version: string): DebianPackage | undefined {
  const start = `${name}_${version.replaceAll(':', '%3a')}_`;
  const found = readdirSync(folder).find((file) => file.startsWith(start) && file.endsWith('.deb'));
  if (found === undefined) return undefined;
  const file = join(folder, found);
  const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
  const control = runProgram('dpkg-deb', ['--field', file]).toString();
  return { name, version, architecture: found.slice(start.length, -'.deb'.length), file, sha256, control };
}
