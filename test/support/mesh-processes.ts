import { X509Certificate } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { isRecord } from '#policy/schema/schema.ts';
import { eventually } from '../control-plane/control-plane-fixture.ts';
import { freePorts } from './free-ports.ts';
import { type LateralProcess, runLateral, startLateral } from './run-lateral.ts';
import type { LogLine } from './sidecar-pair.ts';

/** A control plane over a folder, and sidecars of namespace shop, each a process of its own. They end with the test. */
export interface MeshProcesses {
  readonly directory: string;
  /** HOST:PORT of the control plane. */
  readonly address: string;
  readonly statusPort: number;
  /** The control plane as it runs now. */
  readonly controlPlane: LateralProcess;
  /** Kills the control plane, and starts it again. */
  crash(): Promise<void>;
  /** Where its roots are. */
  readonly trustBundle: string;
  /** Writes a file of the policy folder. */
  writePolicy(file: string, text: string): Promise<void>;
  /** A new join token of a service account. */
  token(serviceAccount: string): Promise<string>;
  /** Runs `lateral ca ARGS…` as an operator who may; resolves to its output, and rejects with its words where it fails. */
  authority(...args: string[]): Promise<string>;
  startSidecar(name: string, traffic: SidecarTraffic): Promise<MeshSidecar>;
}

export interface SidecarTraffic {
  /** The app before which it stands; undefined: it has no inbound. */
  readonly appPort?: number;
}

export interface MeshSidecar {
  readonly process: LateralProcess;
  readonly inbound: number;
  readonly outbound: number;
  readonly admin: number;
  /** Its access log so far. */
  log(): Promise<LogLine[]>;
  /** What it tells of itself, on stderr, under this name. */
  events(name: string): LogLine[];
  /** The certificate that it has now; undefined while it is being written. */
  certificate(): Promise<X509Certificate | undefined>;
  /** The sum of the series that begin so; undefined: there is none. */
  metric(prefix: string): Promise<number | undefined>;
}

export interface MeshOptions {
  /** Beside the test's own, of all processes. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Fields of the configuration's `authority`, beside its directory. */
  readonly authority?: string;
  /** Files of its directory, by name, that are there before the first start. */
  readonly authorityFiles?: { readonly [name: string]: string };
}

const START_TIMEOUT_MS = 30_000;

export async function startMeshProcesses(t: Test, options: MeshOptions = {}): Promise<MeshProcesses> {
  const { environment = {}, authority = '', authorityFiles = {} } = options;
  const directory = t.testdir();
  await mkdir(join(directory, 'state/ca'), { recursive: true, mode: 0o700 });
  for (const [name, text] of Object.entries(authorityFiles)) {
    await writeFile(join(directory, 'state/ca', name), text, { mode: 0o600 });
  }
  const policies = join(directory, 'policies');
  await mkdir(policies);
  const file = join(directory, 'control-plane.yaml');
  const [port = 0] = await freePorts(1);
  await writeFile(
    file,
    `apiVersion: lateral.dev/v1alpha1
kind: ControlPlaneConfig
listen: {port: ${port}}
source: {directory: ./policies}
authority: {directory: ./state/ca${authority}}
tokens: {directory: ./state/tokens}
console: {port: 0}
`,
  );
  const start = async () => {
    const process = startLateral(t, ['control-plane', '--config', file], environment);
    return { process, statusPort: Number((await readyLine('the control plane', process))['statusPort']) };
  };
  let controlPlane = await start();
  const trustBundle = join(directory, 'state/ca/root-cert.pem');
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runLateral(t, args, environment);
    if (code !== 0) throw new Error(`lateral ${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  };
  const token = (serviceAccount: string) =>
    run('token', '--config', file, '--namespace', 'shop', '--service-account', serviceAccount);
  const authorityCommand = async (...args: string[]) => {
    const tokenFile = join(directory, 'operator.token');
    await writeFile(tokenFile, await run('token', '--config', file, '--operator'), { mode: 0o600 });
    const reach = ['--control-plane', `127.0.0.1:${port}`, '--token-file', tokenFile, '--trust-bundle', trustBundle];
    return run('ca', ...args, ...reach);
  };
  return {
    directory,
    address: `127.0.0.1:${port}`,
    get statusPort() {
      return controlPlane.statusPort;
    },
    get controlPlane() {
      return controlPlane.process;
    },
    async crash() {
      controlPlane.process.kill('SIGKILL');
      await controlPlane.process.ended;
      controlPlane = await start();
    },
    trustBundle,
    writePolicy: (name, text) => writeFile(join(policies, name), text),
    token,
    authority: authorityCommand,
    async startSidecar(name, { appPort }) {
      const [admin = 0, metrics = 0, outbound = 0, inbound = 0] = await freePorts(4);
      await writeFile(join(directory, `${name}.token`), `${await token(name)}\n`, { mode: 0o600 });
      const lines = [
        'apiVersion: lateral.dev/v1alpha1',
        'kind: SidecarConfig',
        `workload: {name: ${name}-1, namespace: shop, serviceAccount: ${name}, labels: {app: ${name}}}`,
        `controlPlane: {address: "127.0.0.1:${port}", trustBundle: state/ca/root-cert.pem, tokenFile: ${name}.token}`,
        ...(appPort === undefined ? [] : [`inbound: [{port: ${inbound}, app: "127.0.0.1:${appPort}"}]`]),
        `outbound: {port: ${outbound}}`,
        `admin: {port: ${admin}}`,
        `metrics: {port: ${metrics}}`,
        `telemetry: {accessLog: ${name}.log}`,
        `stateDirectory: state-${name}`,
      ];
      await writeFile(join(directory, `${name}.yaml`), `${lines.join('\n')}\n`);
      const process = startLateral(t, ['sidecar', '--config', join(directory, `${name}.yaml`)], environment);
      await readyLine(`the sidecar ${name}`, process);
      return {
        process,
        inbound,
        outbound,
        admin,
        log: async () => parseLines(await readFile(join(directory, `${name}.log`), 'utf8')),
        events: (event) => parseLines(process.printed.stderr).filter((line) => line['event'] === event),
        certificate: () => storedCertificate(join(directory, `state-${name}`, 'identity.json')),
        metric: async (prefix) => {
          const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
          const series = text.split('\n').filter((line) => line.startsWith(prefix));
          if (series.length === 0) return undefined;
          return series.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
        },
      };
    },
  };
}

async function storedCertificate(path: string): Promise<X509Certificate | undefined> {
  try {
    const stored: unknown = JSON.parse(await readFile(path, 'utf8'));
    return isRecord(stored) ? new X509Certificate(String(stored['certificateChainPem'])) : undefined;
  } catch {
    return undefined;
  }
}

async function readyLine(what: string, process: LateralProcess): Promise<LogLine> {
  let hasEnded = false;
  void process.ended.then(() => {
    hasEnded = true;
  });
  const found = () => parseLines(process.printed.stdout).find(({ event }) => event === 'ready');
  await eventually(`${what} is ready`, () => hasEnded || found() !== undefined, START_TIMEOUT_MS).catch((error) => {
    throw new Error(`${error}: ${process.printed.stderr}`);
  });
  const line = found();
  if (line === undefined) throw new Error(`${what} ended: ${process.printed.stderr}`);
  return line;
}

/** Of whole lines: the last may be half written. */
function parseLines(text: string): LogLine[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}
