import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
/** One call of kubectl or helm that has not ended by then is taken as failed. */
const COMMAND_TIMEOUT_MS = 180_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function run(program: string, args: readonly string[], input?: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { timeout: COMMAND_TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES, cwd: root };
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, stdout, stderr: error !== null && stderr === '' ? error.message : stderr });
    });
    child.stdin?.on('error', () => {}); // the program has ended without reading it
    child.stdin?.end(input ?? '');
  });
}

/** Runs a program that must succeed; its output without the white space at the end. */
export async function succeed(program: string, args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, input);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`);
  return stdout.trimEnd();
}

export const kubectl = (...args: readonly string[]) => succeed('kubectl', args);
export const helm = (...args: readonly string[]) => succeed('helm', args);
export const lateral = (...args: readonly string[]) => run(process.execPath, [`${root}bin/lateral.mjs`, ...args]);

/** Applies a document (YAML or JSON). */
export function apply(document: string, ...args: readonly string[]): Promise<string> {
  return succeed('kubectl', ['apply', '-f', '-', ...args], document);
}

export interface KubernetesObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: { readonly [name: string]: string };
    readonly labels?: { readonly [name: string]: string };
    readonly deletionTimestamp?: string;
  };
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the kind it asks for
  readonly spec?: any;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the kind it asks for
  readonly status?: any;
}

export async function get(kind: string, name: string, namespace: string): Promise<KubernetesObject> {
  return JSON.parse(await kubectl('get', kind, name, '-n', namespace, '-o', 'json'));
}

export async function list(kind: string, namespace: string, selector = ''): Promise<readonly KubernetesObject[]> {
  return JSON.parse(await kubectl('get', kind, '-n', namespace, '-l', selector, '-o', 'json')).items;
}

/** The result once it is as wanted; throws with the last one when the time is over. */
export async function until<T>(what: string, ask: () => Promise<T>, isSo: (value: T) => boolean, timeoutMs = 60_000) {
  const endAtMs = Date.now() + timeoutMs;
  for (;;) {
    const value = await ask().catch((error: unknown) => error as T);
    if (isSo(value)) return value;
    if (Date.now() > endAtMs) {
      const last = value instanceof Error ? value.message : JSON.stringify(value);
      throw new Error(`${what}: not within ${timeoutMs} ms; the last: ${last}`);
    }
    await sleep(100);
  }
}

/** A program that goes on until it is ended; its lines are kept. */
export class Background {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;

  constructor(program: string, args: readonly string[], input?: string) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], cwd: root });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.lines.push(line));
    }
    this.#child.stdin?.on('error', () => {});
    if (input !== undefined) this.#child.stdin?.end(input);
  }

  /** Resolves to the line that the pattern matches. */
  async line(pattern: RegExp, timeoutMs = 30_000): Promise<RegExpExecArray> {
    const found = await until(
      `${pattern} (${this.lines.slice(-5).join(' | ')})`,
      async () => this.lines.map((line) => pattern.exec(line)).find((match) => match !== null),
      (match) => match !== undefined,
      timeoutMs,
    );
    if (found === undefined) throw new Error('unreachable');
    return found;
  }

  closeInput(): void {
    this.#child.stdin?.end();
  }

  async ended(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }

  async end(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.ended();
  }
}

/** Forwards a port of a service or pod to loopback; `url` is where it answers. */
export async function forward(target: string, namespace: string, port: number) {
  const background = new Background('kubectl', ['port-forward', '-n', namespace, target, `:${port}`]);
  const [, local] = await background.line(/Forwarding from 127\.0\.0\.1:(\d+)/);
  return { url: `http://127.0.0.1:${local}`, end: () => background.end() };
}
