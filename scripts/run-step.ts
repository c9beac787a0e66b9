import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** The environment of every step: our Node first, so that tools with `#!/usr/bin/env node` run in it. */
export const environment = {
  ...process.env,
  PATH: `${dirname(process.execPath)}:${root}node_modules/.bin:${process.env.PATH ?? ''}`,
};

/** Runs a program of node_modules/.bin; false when it failed. Its output is shown. */
export function runStep(title: string, program: string, args: readonly string[], cwd = root): boolean {
  const startedAt = performance.now();
  const { status } = spawnSync(`${root}node_modules/.bin/${program}`, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    cwd,
    env: environment,
  });
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  process.stdout.write(`${status === 0 ? 'ok    ' : 'FAILED'} ${title} (${seconds} s)\n`);
  return status === 0;
}
