import { spawn } from 'node:child_process';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const COMMAND_TIMEOUT_MS = 30_000;

/** Runs a program to its end, with `input` on its standard input. One that is not there ends with code 127, as in a shell. */
export function runCommand(
  program: string,
  args: readonly string[],
  input: string | Buffer = '',
  environment: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, ...environment }, timeout: COMMAND_TIMEOUT_MS });
    const printed = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (chunk: string) => {
        printed[stream] += chunk;
      });
    }
    child.on('error', (error) => {
      if ('code' in error && error.code === 'ENOENT') resolve({ code: 127, ...printed });
      else reject(error);
    });
    child.on('close', (code) => resolve({ code, ...printed }));
    child.stdin.on('error', () => {}); // it has ended before us
    child.stdin.end(input);
  });
}

/** Why a test of these programs is skipped; false: all are there. */
export async function skipWithout(...programs: string[]): Promise<string | false> {
  for (const program of programs) {
    const { code } = await runCommand(program, ['--version']);
    if (code === 127) return `no ${program} on the PATH`;
  }
  return false;
}
