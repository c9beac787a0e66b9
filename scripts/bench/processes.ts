import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';

const START_TIMEOUT_MS = 20_000;
const POLL_INTERVAL_MS = 50;
/** After SIGTERM; a sidecar drains for 5 s. */
const STOP_TIMEOUT_MS = 10_000;
/** A load that takes longer hangs. */
const RUN_TIMEOUT_MS = 300_000;
/** How much of a failed program's last words goes into its row. */
const LAST_WORDS_CHARACTERS = 300;

/** Every process of a run, so that none outlives it. */
export class Processes {
  readonly #directory: string;
  readonly #children = new Set<ChildProcess>();
  #started = 0;
  #isStopped = false;

  constructor(directory: string) {
    this.#directory = directory;
    // the last resort, when nothing else was able to: it kills nothing that has ended
    process.once('exit', () => this.#signal('SIGKILL'));
  }

  /** Starts a program whose output goes to a file, and resolves once it listens; its last words are in the error. */
  async serve(program: string, args: readonly string[], port: number): Promise<ChildProcess> {
    const log = join(this.#directory, `${basename(program)}-${this.#started++}.out`);
    const file = openSync(log, 'a');
    const child = this.#register(spawn(program, args, { stdio: ['ignore', file, file] }));
    closeSync(file);
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await isListening(port))) {
      if (hasEnded(child)) throw new Error(`${basename(program)} ended at its start: ${lastWords(log)}`);
      if (Date.now() > deadline) throw new Error(`${basename(program)} does not listen after ${START_TIMEOUT_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    }
    return child;
  }

  /** Runs a program to its end and returns its stdout; fails with its stderr. */
  async run(program: string, args: readonly string[], options: { cwd?: string } = {}): Promise<string> {
    const { output, complaint, end } = await this.#finish(program, args, options);
    if (end !== 0) throw new Error(`${basename(program)} ended with ${end}: ${shorten(complaint)}`);
    return output;
  }

  /** All that a program says, however it ends. */
  async words(program: string, args: readonly string[]): Promise<string> {
    const { output, complaint } = await this.#finish(program, args, {});
    return output + complaint;
  }

  async #finish(program: string, args: readonly string[], options: { cwd?: string }) {
    const child = this.open(program, args, { ...options, timeoutMs: RUN_TIMEOUT_MS });
    child.stdin.end();
    const ended = once(child, 'close');
    const [output, complaint, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { output, complaint, end: code ?? signal };
  }

  /** Starts a program to talk with over its stdin and stdout. */
  open(program: string, args: readonly string[], { cwd, timeoutMs }: { cwd?: string; timeoutMs?: number } = {}) {
    const child = spawn(program, args, {
      stdio: 'pipe',
      ...(cwd && { cwd }),
      ...(timeoutMs && { timeout: timeoutMs }),
    });
    this.#register(child);
    return child;
  }

  /** A signal came: what fails from now on fails because of that. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Those that live. */
  get all(): readonly ChildProcess[] {
    return [...this.#children];
  }

  /** Ends those given, or all; resolves once they have ended. */
  async stop(children = this.all): Promise<void> {
    const living = children.filter((child) => !hasEnded(child));
    const timer = setTimeout(() => {
      for (const child of living) child.kill('SIGKILL');
    }, STOP_TIMEOUT_MS);
    const ended = living.map((child) => once(child, 'exit'));
    for (const child of living) child.kill('SIGTERM');
    await Promise.all(ended);
    clearTimeout(timer);
  }

  /** Ends all, and lets none be started any more. */
  async stopForGood(): Promise<void> {
    this.#isStopped = true;
    await this.stop();
  }

  #register<C extends ChildProcess>(child: C): C {
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    child.on('error', () => this.#children.delete(child));
    if (this.#isStopped) child.kill('SIGKILL');
    return child;
  }

  #signal(signal: NodeJS.Signals): void {
    for (const child of this.#children) child.kill(signal);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

function lastWords(log: string): string {
  return shorten(readFileSync(log, 'utf8')) || 'it said nothing';
}

/** One line, the end of a long one: what went wrong is said last. */
function shorten(words: string): string {
  return words.trim().replace(/\s+/g, ' ').slice(-LAST_WORDS_CHARACTERS);
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
