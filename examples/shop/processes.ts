import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));
/** A process that is not ready by then is taken as failed. */
const READY_TIMEOUT_MS = 30_000;
/** What a process printed, for messages about its failure and for the checks. */
const MAX_KEPT_LINES = 2_000;

export interface Running {
  readonly name: string;
  readonly child: ChildProcess;
  /** Lines of stdout and stderr so far. */
  readonly lines: string[];
  /** From spawn to `ready`. */
  readonly readyMs: number;
}

/** Starts `lateral ARGS…`; resolves once it has printed its `ready` line. */
export function startLateral(name: string, args: readonly string[]): Promise<Running> {
  return start(name, [lateral, ...args], {});
}

/** Starts a service of the example behind the proxy at `outboundPort`. */
export function startService(name: string, port: number, outboundPort: number): Promise<Running> {
  const program = fileURLToPath(new URL(`./services/${name}.ts`, import.meta.url));
  // the usual way to tell a program of its proxy; the service itself knows nothing of a mesh
  const proxy = `http://127.0.0.1:${outboundPort}`;
  return start(name, [program], {
    PORT: String(port),
    HTTP_PROXY: proxy,
    http_proxy: proxy,
    NODE_USE_ENV_PROXY: '1',
    NO_PROXY: '',
    no_proxy: '',
  });
}

/** Runs `lateral ARGS…` to its end. */
export function runLateral(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [lateral, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

function start(name: string, args: readonly string[], environment: NodeJS.ProcessEnv): Promise<Running> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  const lines: string[] = [];
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${name} ${why}\n${lines.slice(-20).join('\n')}`));
    const timer = setTimeout(() => fail(`was not ready within ${READY_TIMEOUT_MS} ms`), READY_TIMEOUT_MS);
    child.on('exit', (code) => {
      clearTimeout(timer);
      fail(`ended with ${code} before it was ready`);
    });
    const keep = (line: string) => {
      lines.push(line);
      if (lines.length > MAX_KEPT_LINES) lines.splice(0, MAX_KEPT_LINES / 2);
    };
    createInterface({ input: child.stderr }).on('line', keep);
    createInterface({ input: child.stdout }).on('line', (line) => {
      keep(line);
      if (!line.includes('"event":"ready"')) return;
      clearTimeout(timer);
      resolve({ name, child, lines, readyMs: Math.round(performance.now() - startedAt) });
    });
  });
}

/** Ends a process politely, or at once with SIGKILL; resolves when it has ended. */
export function end(running: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const { child } = running;
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}

/** Ports that nothing listens on, `count` different ones. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listenAnywhere));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function listenAnywhere(): Promise<ReturnType<typeof createServer>> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}
