import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Test } from 'tap';

/** The Go programs of test/peers: `module` is a folder of it with go.mod and go.sum, `program` a package's path. */
const TOOLS = {
  certificates: { module: '.', program: './certificates' },
  forwarder: { module: '.', program: './forwarder' },
  grpc: { module: '.', program: './grpc' },
  http2: { module: '.', program: './http2' },
  opa: { module: 'opa', program: './' },
  spiffe: { module: 'spiffe', program: './' },
  spiffeBundle: { module: 'spiffe-bundle', program: './' },
  istiod: { module: 'istiod', program: './' },
  h2spec: { module: 'h2spec', program: 'github.com/summerwind/h2spec/cmd/h2spec' },
} as const;

export type GoTool = keyof typeof TOOLS;

/** What a test file that may build them needs, or wait for the builds of others, in place of tap's 120 s. */
export const GO_TEST_TIMEOUT_MS = 1_800_000;

/** The first build on two cores, beside other tests: of istiod's packages more than ten minutes. */
const BUILD_TIMEOUT_MS = 1_500_000;
const LOCK_POLL_MS = 250;
const HASH_LENGTH = 16;

const root = fileURLToPath(new URL('../..', import.meta.url));
const peers = join(root, 'test/peers');
const cache = join(root, 'build/go-tools');
const lock = join(cache, 'lock');
const run = promisify(execFile);

/**
 * The paths of the programs, built once for each state of their sources, also when several tests ask at the same time.
 * Without a fit `go` on this machine `t` gets a skipped test with the reason, and the answer is undefined; a build that
 * fails is a failure.
 */
export async function goTools<T extends GoTool>(t: Test, ...names: T[]): Promise<Record<T, string> | undefined> {
  const paths: Partial<Record<T, string>> = {};
  for (const name of names) {
    const { module } = TOOLS[name];
    const found = await goVersion(join(peers, module));
    if (found.version === undefined) {
      process.stderr.write(`SKIPPED ${t.fullname}: ${found.reason}\n`);
      t.test(`${name} of test/peers can be built`, { skip: found.reason }, async () => {});
      return undefined;
    }
    paths[name] = await build(name, found.version);
  }
  return isComplete(paths, names) ? paths : undefined;
}

function isComplete<T extends GoTool>(paths: Partial<Record<T, string>>, names: T[]): paths is Record<T, string> {
  return names.every((name) => paths[name] !== undefined);
}

/** The Go that would build this module: go.mod names the least one, and Go may fetch it. */
async function goVersion(
  folder: string,
): Promise<{ version: string; reason: '' } | { version: undefined; reason: string }> {
  try {
    const { stdout } = await run('go', ['env', 'GOVERSION'], { cwd: folder });
    return { version: stdout.trim(), reason: '' };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const isAbsent = 'code' in error && error.code === 'ENOENT';
    return { version: undefined, reason: isAbsent ? 'no go on the PATH' : error.message.trim() };
  }
}

async function build(name: GoTool, version: string): Promise<string> {
  const { module, program } = TOOLS[name];
  const folder = join(peers, module);
  const path = join(cache, `${name}-${await fingerprint(folder, program, version)}`);
  if (existsSync(path)) return path;
  await mkdir(cache, { recursive: true });
  await holdLock(async () => {
    if (existsSync(path)) return;
    // under another name until it is whole: a killed build must not leave a program behind
    const partial = `${path}.${process.pid}.partial`;
    const args = ['build', '-mod=readonly', '-trimpath', '-o', partial, program];
    await run('go', args, { cwd: folder, timeout: BUILD_TIMEOUT_MS });
    for (const old of await readdir(cache)) {
      if (old.startsWith(`${name}-`) && !old.endsWith('.partial')) await rm(join(cache, old));
    }
    await rename(partial, path);
  });
  return path;
}

/** Of everything that the program is made from: the pinned modules, its own sources, and the compiler. */
async function fingerprint(module: string, program: string, version: string): Promise<string> {
  const hash = createHash('sha256').update(version);
  const own = program.startsWith('./') ? join(module, program) : undefined;
  const sources = own === undefined ? [] : (await readdir(own)).filter((name) => name.endsWith('.go')).sort();
  const files = [join(module, 'go.mod'), join(module, 'go.sum'), ...sources.map((name) => join(own ?? '', name))];
  for (const file of files) hash.update(`\0${file}\0`).update(await readFile(file));
  return hash.digest('hex').slice(0, HASH_LENGTH);
}

/**
 * One build at a time on this machine: two would take the cores from each other. Only a courtesy: programs appear by one
 * rename, so that nothing breaks when two waiters find the lock of a dead process at once.
 */
async function holdLock(work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + BUILD_TIMEOUT_MS;
  for (;;) {
    try {
      await writeFile(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      if (!(await isHeld())) await rm(lock, { force: true });
      else if (Date.now() > deadline) throw new Error(`${lock} was held for ${BUILD_TIMEOUT_MS} ms`);
      else await sleep(LOCK_POLL_MS);
    }
  }
  try {
    await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function isHeld(): Promise<boolean> {
  try {
    const holder = Number(await readFile(lock, 'utf8'));
    // it is created and written in two steps: an empty file is one that is just being taken
    if (holder > 0) process.kill(holder, 0);
    return true;
  } catch {
    return false;
  }
}
