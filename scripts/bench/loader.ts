import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { installed } from './installed.ts';
import type { Processes } from './processes.ts';
import type { Figures } from './rows.ts';

const sources = fileURLToPath(new URL('./loader', import.meta.url));
const target = fileURLToPath(new URL('../../build/bench', import.meta.url));

/** Our Go program (scripts/bench/loader): loads that Node would disturb, and apps for them. */
export interface Loader {
  readonly program: string;
  /** Runs a load to its end. Fails when it failed as a whole; single errors are counted in the figures. */
  run(command: string, options: LoaderOptions): Promise<LoaderReport>;
  /** Starts a load that goes on until `finish`, once it has said its first line. */
  hold(command: string, options: LoaderOptions): Promise<{ first: LoaderReport; finish(): Promise<LoaderReport> }>;
}

export interface LoaderOptions {
  readonly [option: string]: string | number | boolean;
}

export interface LoaderReport {
  readonly figures: Figures;
  readonly firstError: string;
}

/** Builds it; undefined and a reason where that cannot be done. The first build fetches one Go module. */
export async function buildLoader(processes: Processes): Promise<Loader | { readonly reason: string }> {
  const go = installed('go');
  if (go === undefined) return { reason: 'go is not on the PATH' };
  const program = join(target, 'loader');
  try {
    await mkdir(target, { recursive: true });
    await processes.run(go, ['build', '-o', program, '.'], { cwd: sources });
  } catch (error) {
    return { reason: `its build failed: ${error instanceof Error ? error.message : String(error)}` };
  }
  return {
    program,
    run: async (command, options) => readReport(await processes.run(program, argumentsOf(command, options))),
    hold: async (command, options) => {
      const child = processes.open(program, argumentsOf(command, options));
      let complaint = '';
      child.stderr.on('data', (chunk) => {
        complaint += chunk;
      });
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const next = async () => {
        const line = await lines.next();
        if (line.done === true) throw new Error(complaint.trim() || `loader ${command} said nothing`);
        return readReport(line.value);
      };
      return {
        first: await next(),
        finish: async () => {
          const ended = once(child, 'exit');
          child.stdin.end();
          const last = await next();
          await ended;
          return last;
        },
      };
    },
  };
}

/** As the command line of the program has them. */
export function argumentsOf(command: string, options: LoaderOptions): string[] {
  return [command, ...Object.entries(options).map(([name, value]) => `-${name}=${value}`)];
}

/** Reads the one line of JSON that a load prints. */
export function readReport(line: string): LoaderReport {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null) throw new Error(`the loader printed ${line}`);
  const fields = Object.entries(value);
  const figures = fields.filter((field): field is [string, number] => typeof field[1] === 'number');
  const firstError = fields.find(([name]) => name === 'firstError')?.[1];
  return { figures: Object.fromEntries(figures), firstError: typeof firstError === 'string' ? firstError : '' };
}
