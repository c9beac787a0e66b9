import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';

/** A line that a program of test/peers printed. */
export type ToldEvent = { readonly [field: string]: unknown };

export interface RunningProgram {
  /** Where it listens, on loopback. */
  readonly port: number;
  /** The next or an earlier line of which all these fields are so; rejects after EVENT_TIMEOUT_MS. */
  told(fields: ToldEvent): Promise<ToldEvent>;
  /** Ends its standard input, which is what it ends by. */
  stop(): void;
}

export interface Finished {
  readonly code: number | null;
  /** Its output, a line each. */
  readonly told: readonly ToldEvent[];
  readonly errors: string;
}

const EVENT_TIMEOUT_MS = 20_000;
const RUN_TIMEOUT_MS = 120_000;

/** Starts a server of test/peers; it ends with the test, and also when this process is killed. */
export async function startProgram(t: Test, path: string, args: readonly string[]): Promise<RunningProgram> {
  const child = spawn(path, args);
  const seen = new Listener(child);
  t.teardown(() => child.stdin.end());
  const ready = await seen.next({ event: 'ready' });
  if (typeof ready['port'] !== 'number') throw new Error(`${path} told no port: ${JSON.stringify(ready)}`);
  return { port: ready['port'], told: (fields) => seen.next(fields), stop: () => child.stdin.end() };
}

/** Runs a client of test/peers to its end. `hold`: its standard input stays open until this is settled. */
export async function runProgram(path: string, args: readonly string[], hold?: Promise<unknown>): Promise<Finished> {
  const child = spawn(path, args);
  const seen = new Listener(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_TIMEOUT_MS);
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  // whatever became of it: the program ends by it, and its caller awaits it too
  await Promise.race([hold, closed].map((settled) => Promise.resolve(settled).catch(() => {})));
  child.stdin.end();
  const code = await closed;
  clearTimeout(timer);
  return { code, told: seen.lines, errors: seen.errors };
}

class Listener {
  readonly lines: ToldEvent[] = [];
  errors = '';
  readonly #waiting = new Set<() => void>();
  #hasEnded = false;

  constructor(child: ChildProcessWithoutNullStreams) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.lines.push(eventOf(line));
      this.#look();
    });
    child.stderr.on('data', (text) => {
      this.errors += text;
    });
    child.on('error', (error) => {
      this.errors += error.message;
    });
    child.stdin.on('error', () => {}); // it has ended before us
    child.on('close', () => {
      this.#hasEnded = true;
      this.#look();
    });
  }

  next(fields: ToldEvent): Promise<ToldEvent> {
    return new Promise((resolve, reject) => {
      const give = (settle: () => void) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        settle();
      };
      const fail = (why: string) =>
        give(() => reject(new Error(`${why}: ${JSON.stringify(fields)} was not told; ${this.errors}`)));
      const look = () => {
        const found = this.lines.find((line) => Object.entries(fields).every(([name, value]) => line[name] === value));
        if (found !== undefined) give(() => resolve(found));
        else if (this.#hasEnded) fail('the program has ended');
      };
      const timer = setTimeout(() => fail(`waited ${EVENT_TIMEOUT_MS} ms`), EVENT_TIMEOUT_MS);
      this.#waiting.add(look);
      look();
    });
  }

  #look(): void {
    for (const look of [...this.#waiting]) look();
  }
}

function eventOf(line: string): ToldEvent {
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : { line };
  } catch {
    return { line };
  }
}
