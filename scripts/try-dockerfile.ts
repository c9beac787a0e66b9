// `npm run image:dockerfile`: builds the Dockerfile for both architectures with buildah, holds every file of the result against that of
// `npm run image`, and runs the result as its user. No registry is asked: the base image is made of Debian's packages and this
// machine's Node and npm. Needs root, buildah, debootstrap, and qemu-user-static to run what is of the other architecture. Takes about
// ten minutes.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { missingSidecarFlags } from '../bin/sidecar-flags.mjs';
import { ARCHITECTURES, type Architecture, ownArchitecture } from './image/architecture.ts';
import { DEBIAN_RELEASE } from './image/debian-packages.ts';
import { NODE_VERSION } from './image/fetch-node.ts';
import { runProgram } from './image/run-program.ts';
import { root as source } from './run-step.ts';

/** What the Dockerfile begins from. */
const BASE = /^FROM --platform=\$BUILDPLATFORM (\S+) AS build$/m;
const UID = '1337:1337';
/** Of the base image's, beside its packages: how this machine reaches npm's registry and Debian's mirror. */
const SETTINGS = [
  '/etc/npmrc',
  '/usr/etc/npmrc',
  '/usr/local/etc/npmrc',
  join(homedir(), '.npmrc'),
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/apt/apt.conf.d',
  '/etc/apt/sources.list.d',
];
const EPOCH = '1700000000';
/** The longest build: an install from npm's registry, on a busy machine. */
const BUILD_TIMEOUT_MS = 20 * 60_000;
const EMULATOR = '/usr/bin/qemu-aarch64-static';

const folder = mkdtempSync(join(tmpdir(), 'lateral-dockerfile-'));
const store = ['--storage-driver', 'vfs', '--root', join(folder, 'store'), '--runroot', join(folder, 'run')];

try {
  const base = BASE.exec(readFileSync(join(source, 'Dockerfile'), 'utf8'))?.[1];
  if (base === undefined) throw new Error('the Dockerfile does not begin as expected');
  say(`a base image in place of ${base}`);
  makeBase(`localhost/${base}`);
  for (const architecture of ARCHITECTURES) {
    say(`the Dockerfile, for ${architecture}`);
    const root = buildImage(architecture);
    say(`npm run image, for ${architecture}`);
    const own = join(folder, `image-${architecture}`);
    const words = [join(source, 'scripts/image.ts'), '--arch', architecture, own];
    runProgram(process.execPath, words, { env: { ...process.env, SOURCE_DATE_EPOCH: EPOCH } });
    const compared = spawnSync('diff', ['--recursive', '--no-dereference', '--brief', own, root], { encoding: 'utf8' });
    if (compared.status !== 0)
      throw new Error(`it differs from the Dockerfile's:\n${compared.stdout}${compared.stderr}`);
    tryImage(architecture, own);
  }
  say('both images are as without an engine, and run');
} catch (error) {
  process.stderr.write(`image:dockerfile: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function buildah(...args: readonly string[]): string {
  return runProgram('buildah', [...store, ...args])
    .toString()
    .trim();
}

function makeBase(name: string): void {
  const root = join(folder, 'base');
  runProgram('debootstrap', ['--variant=minbase', '--include=ca-certificates', DEBIAN_RELEASE, root]);
  for (const path of SETTINGS) {
    if (existsSync(path)) cpSync(path, join(root, path), { recursive: true });
  }
  if (readdirSync(join(root, 'etc/apt/sources.list.d')).length > 0) rmSync(join(root, 'etc/apt/sources.list'));
  const [node = '', npm = ''] = ['node', 'npm'].map((program) =>
    runProgram('sh', ['-c', `readlink -f "$(PATH=/usr/local/bin:/usr/bin:/bin command -v ${program})"`])
      .toString()
      .trim(),
  );
  const bin = join(root, 'usr/local/bin');
  const modules = join(root, 'usr/local/lib/node_modules');
  mkdirSync(modules, { recursive: true });
  cpSync(node, join(bin, 'node'));
  cpSync(dirname(dirname(npm)), join(modules, 'npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(bin, 'npm'));
  const container = buildah('from', 'scratch');
  runProgram('cp', ['--archive', `${root}/.`, buildah('mount', container)]);
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  buildah('config', '--env', path, '--env', 'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt', container);
  buildah('commit', '--quiet', container, name);
  buildah('rm', container);
}

/** Returns the root folder of the image. */
function buildImage(architecture: Architecture): string {
  const name = `localhost/lateral:${architecture}`;
  const platforms = ['--platform', `linux/${architecture}`, '--build-arg', `BUILDPLATFORM=linux/${ownArchitecture()}`];
  const options = [
    '--isolation',
    'chroot',
    '--network',
    'host',
    '--pull=never',
    '--build-arg',
    `SOURCE_DATE_EPOCH=${EPOCH}`,
  ];
  const words = [...store, 'bud', ...options, ...platforms, '--tag', name, source];
  const { status } = spawnSync('buildah', words, { stdio: ['ignore', 2, 2], timeout: BUILD_TIMEOUT_MS });
  if (status !== 0) throw new Error(`buildah bud for ${architecture} failed, see above`);
  const inspected = buildah('inspect', '--type', 'image', name);
  const { OCIv1 } = JSON.parse(inspected);
  const { User, Entrypoint } = OCIv1.config;
  if (OCIv1.architecture !== architecture || User !== UID || Entrypoint?.[0] !== '/lateral/bin/lateral') {
    throw new Error(`${name} is of ${OCIv1.architecture}, user ${User}, entry ${Entrypoint}`);
  }
  return buildah('mount', buildah('from', '--pull=never', name));
}

/** Runs what the image would: its entry, or that in an emulator. */
function tryImage(architecture: Architecture, root: string): void {
  const isOwn = architecture === ownArchitecture();
  if (!isOwn && !(architecture === 'arm64' && existsSync(EMULATOR))) {
    say(`${architecture}: nothing here runs it`);
    return;
  }
  if (!isOwn) cpSync(EMULATOR, join(root, 'emulator'));
  const flags = missingSidecarFlags(Number.parseInt(NODE_VERSION, 10), []);
  const lateral = isOwn
    ? ['/lateral/bin/lateral']
    : ['/emulator', '/lateral/bin/node', ...flags, '/lateral/bin/lateral.mjs'];
  const words = ['-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', '/usr/sbin/chroot', `--userspec=${UID}`, root, ...lateral];
  say(
    `${architecture}: lateral ${runProgram('env', [...words, '--version'])
      .toString()
      .trim()}`,
  );
  runProgram('env', [...words, 'sidecar', '--help']);
}
