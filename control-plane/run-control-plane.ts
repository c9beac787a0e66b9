import { formatProblem } from '#policy/problem.ts';
import { readControlPlaneConfiguration } from './configuration.ts';
import { jsonEventLog } from './event-log.ts';
import { startControlPlane } from './start-control-plane.ts';

/** Where the program writes. */
export interface ProgramIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/**
 * Runs `lateral control-plane --config FILE` until SIGTERM or SIGINT; resolves to the exit code. Stdout gets one
 * JSON line `"event":"ready"` once it serves; stderr gets the other events as JSON lines, and the problems of
 * policies as `file:line:column: severity code message`. Throws with one sentence when it cannot start.
 */
export async function runControlPlane(configurationFile: string, io: ProgramIo): Promise<number> {
  const { configuration, problems } = await readControlPlaneConfiguration(configurationFile);
  const printProblems = (lines: readonly string[]) => io.stderr(lines.map((line) => `${line}\n`).join(''));
  printProblems(problems.map(formatProblem));
  if (configuration === undefined) return 1;
  if (configuration.hasUnusedInventory) {
    io.stderr(`${configurationFile}: warning: inventory is accepted, and this version records nothing there\n`);
  }
  const stopped = nextStopSignal();
  const ending = new AbortController();
  void stopped.then(() => ending.abort());
  const options = { log: jsonEventLog(io.stderr), printProblems, signal: ending.signal };
  const controlPlane = await startControlPlane(configuration, options).catch((error: unknown) => {
    // Told to end while it waited for the Kubernetes API: nothing was served yet.
    if (ending.signal.aborted) return undefined;
    throw error;
  });
  if (controlPlane === undefined) return 0;
  const ready = {
    event: 'ready',
    address: controlPlane.address,
    statusPort: controlPlane.statusPort,
    metricsPort: controlPlane.metricsPort,
    bundlePort: controlPlane.bundlePort,
    trustDomain: configuration.mesh.trustDomain,
    policyVersion: controlPlane.policyVersion(),
  };
  io.stdout(`${JSON.stringify(ready)}\n`);
  await stopped;
  await controlPlane.close();
  return 0;
}

/** The first signal ends it in order; a second one, whose handler is gone, at once. */
function nextStopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
}
