import { cpus, loadavg, release } from 'node:os';
import { installed } from './installed.ts';
import type { Processes } from './processes.ts';

export interface Surroundings {
  readonly date: string;
  readonly cpus: string;
  readonly kernel: string;
  /** Of the minute before the run: how many processes wanted a processor. */
  readonly loadBefore: number;
  /** Program and what it calls its version, or null: not installed. */
  readonly programs: { readonly [program: string]: string | null };
}

const VERSION_ARGUMENTS: { readonly [program: string]: readonly string[] } = {
  nginx: ['-v'],
  envoy: ['--version'],
  wrk: ['-v'],
  go: ['version'],
};

/** What the figures depend on besides the proxies' code. */
export async function lookAround(processes: Processes): Promise<Surroundings> {
  const programs: { [program: string]: string | null } = { node: process.version };
  for (const [program, args] of Object.entries(VERSION_ARGUMENTS)) {
    const path = installed(program);
    programs[program] = path === undefined ? null : await versionOf(processes, path, args);
  }
  const all = cpus();
  return {
    date: new Date().toISOString(),
    cpus: `${all.length} x ${all[0]?.model ?? 'unknown'}`,
    kernel: release(),
    loadBefore: loadavg()[0] ?? 0,
    programs,
  };
}

/** Some say it on stderr, and wrk does so with exit code 1. */
async function versionOf(processes: Processes, path: string, args: readonly string[]): Promise<string> {
  const words = await processes.words(path, args);
  return /\d+\.\d+[.\w-]*/.exec(words)?.[0] ?? 'of unknown version';
}
