import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));

export interface Printed {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface LateralProcess {
  /** What it has printed so far. */
  readonly printed: { readonly stdout: string; readonly stderr: string };
  readonly ended: Promise<Printed>;
  kill(signal: NodeJS.Signals): void;
}

/** No kubeconfig of the machine, and no control plane of the environment, plays a part. */
const NOWHERE = {
  HOME: '/nonexistent',
  KUBECONFIG: undefined,
  LATERAL_CONTROL_PLANE: undefined,
  LATERAL_TOKEN_FILE: undefined,
  LATERAL_TRUST_BUNDLE: undefined,
};

/** Starts `lateral ARGS…` in a process of its own. */
export function startLateral(t: Test, args: readonly string[], environment: NodeJS.ProcessEnv = {}): LateralProcess {
  const child = spawn(process.execPath, [lateral, ...args], {
    env: { ...process.env, ...NOWHERE, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const printed = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (chunk: string) => {
      printed[stream] += chunk;
    });
  }
  const ended = new Promise<Printed>((resolve) => child.on('close', (code) => resolve({ code, ...printed })));
  return { printed, ended, kill: (signal) => child.kill(signal) };
}

/** Runs `lateral ARGS…` to its end. */
export function runLateral(t: Test, args: readonly string[], environment?: NodeJS.ProcessEnv): Promise<Printed> {
  return startLateral(t, args, environment).ended;
}
