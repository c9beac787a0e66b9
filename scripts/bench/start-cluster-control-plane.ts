import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { controlPlaneEnvironment, missingControlPlaneFlags } from '../../bin/control-plane-flags.mjs';
import { BUNDLING } from '../build.mjs';

const besides = (file: string) => fileURLToPath(new URL(file, import.meta.url));

export interface BenchControlPlane {
  readonly pid: number;
  /** `HOST:PORT`. */
  readonly address: string;
  /** Processor time so far. */
  processorMs(): Promise<number>;
  memory(): Promise<{ residentMb: number; proportionalMb: number; peakMb: number }>;
  signal(name: NodeJS.Signals): void;
  stop(): Promise<void>;
}

/** As the program is bundled: from its sources it would have the type stripper in memory besides. */
export async function bundledControlPlane(): Promise<string> {
  const { build } = await import('esbuild');
  const outdir = besides('../../build/bench/cluster');
  await build({
    ...BUNDLING,
    absWorkingDir: besides('../..'),
    entryPoints: [besides('cluster-control-plane.ts')],
    outdir,
  });
  return join(outdir, 'cluster-control-plane.mjs');
}

/** Starts a control plane as `lateral control-plane` runs, over a simulated cluster; resolves once it serves. */
export async function startClusterControlPlane(
  program: string,
  where: { readonly apiPort: number; readonly directory: string; readonly port?: number },
  furtherFlags: readonly string[] = [],
): Promise<BenchControlPlane> {
  const flags = [...missingControlPlaneFlags(Number(process.versions.node.split('.')[0]), []), ...furtherFlags];
  const { apiPort, directory, port = 0 } = where;
  const child = spawn(process.execPath, [...flags, program, `http://127.0.0.1:${apiPort}`, directory, String(port)], {
    env: controlPlaneEnvironment(process.env),
    stdio: ['ignore', 'pipe', process.env.VERBOSE === undefined ? 'ignore' : 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const { address } = await new Promise<{ address: string }>((resolve, reject) => {
    child.stdout.once('data', (line: Buffer) => resolve(JSON.parse(line.toString())));
    child.once('exit', () => reject(new Error('the control plane ended; VERBOSE=1 shows why')));
  });
  const pid = child.pid ?? 0;
  return {
    pid,
    address,
    async processorMs() {
      const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
      return (Number(fields[11]) + Number(fields[12])) * 10;
    },
    async memory() {
      const status = await readFile(`/proc/${pid}/status`, 'utf8');
      const megabytes = (name: string) =>
        Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024);
      const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
      const proportionalMb = Math.round(Number(/Pss:\s+(\d+)/.exec(rollup)?.[1] ?? 0) / 1024);
      return { residentMb: megabytes('VmRSS'), proportionalMb, peakMb: megabytes('VmHWM') };
    },
    signal: (name) => void child.kill(name),
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
