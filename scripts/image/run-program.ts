import { type SpawnSyncOptionsWithBufferEncoding, spawnSync } from 'node:child_process';

/** Largest output of a program that is kept: a package's files. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;
const TIMEOUT_MS = 5 * 60_000;

/** Runs a program to its end and returns its output; throws its last words when it fails. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: Pick<SpawnSyncOptionsWithBufferEncoding, 'cwd' | 'input' | 'env'> = {},
): Buffer {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    ...options,
    encoding: 'buffer',
    maxBuffer: MAX_OUTPUT_BYTES,
    timeout: TIMEOUT_MS,
  });
  if (error !== undefined) throw new Error(`${program}: ${error.message}`);
  if (status === 0) return stdout;
  const words = stderr.toString().trim().split('\n').at(-1);
  throw new Error(`${program} ${args.slice(0, 3).join(' ')}: ${words ?? `exit code ${status}`}`);
}
