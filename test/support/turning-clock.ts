import { spawnSync } from 'node:child_process';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A clock for several processes, ahead of the machine's by as much as it is turned while they run. */
export interface TurningClock {
  /** Processes started with this go by it. Their timers do not: these go by the monotonic clock, which is nobody's to set. */
  readonly environment: NodeJS.ProcessEnv;
  /** What time it is by it, milliseconds since the epoch. */
  now(): number;
  /** All processes see it at once. */
  turn(byMs: number): Promise<void>;
}

const FILE = 'clock';
const LIBRARY_ATTEMPTS = 3;

const preload = library();

/** Why there is none; false: there is. */
export const noTurningClock: string | false = preload === undefined ? 'faketime is not installed' : false;

/** Starts at the machine's time. */
export async function startTurningClock(t: Test): Promise<TurningClock> {
  if (preload === undefined) throw new Error('faketime is not installed');
  const file = join(t.testdir({ [FILE]: '+0\n' }), FILE);
  let aheadMs = 0;
  return {
    environment: {
      LD_PRELOAD: preload,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      // Files keep their times: the policy folder would seem to change with the clock.
      NO_FAKE_STAT: '1',
    },
    now: () => Date.now() + aheadMs,
    async turn(byMs) {
      aheadMs += byMs;
      // as a whole: a process that finds it empty is at the machine's time for that moment
      await writeFile(`${file}.new`, `+${Math.round(aheadMs / 1_000)}\n`);
      await rename(`${file}.new`, file);
    },
  };
}

/** What Debian's faketime would preload. It fails where a process of its number was killed before: semaphores outlive it. */
function library(): string | undefined {
  for (let attempt = 0; attempt < LIBRARY_ATTEMPTS; attempt++) {
    const { error, status, stdout } = spawnSync('faketime', ['-m', '-f', '+0', 'printenv', 'LD_PRELOAD'], {
      encoding: 'utf8',
    });
    if (error !== undefined) return undefined;
    if (status === 0 && stdout.trim() !== '') return stdout.trim();
  }
  return undefined;
}
