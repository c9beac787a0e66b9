import { Worker } from 'node:worker_threads';
import type { Snapshot } from '#policy/resource-set.ts';
import type { EffectiveDefaults } from '#policy/workload-policy.ts';
import { GENERATE_TIMEOUT_MS } from '../policy/generate-in-worker.ts';
import { SnapshotRefused } from '../policy/policy-source.ts';
import type { MetricsSnapshot } from '../telemetry/metrics.ts';
import type { PlaintextCaller } from '../telemetry/plaintext-callers.ts';
import { DRAIN_TIMEOUT_MS, RECORDING_GRACE_MS } from '../traffic/serve-traffic.ts';
import {
  type FromWorker,
  isFromWorker,
  type ToWorker,
  type WorkerAnswer,
  type WorkerRequest,
  type WorkerSettings,
} from './messages.ts';

/** A worker is asked for a sign of life this often … */
export const PING_INTERVAL_MS = 5_000;
/** … and is ended when it gave none this many times: its event loop hangs. */
const MAX_UNANSWERED_PINGS = 6;

/** Policies have to be compiled by then; schemas, which are compiled once for all workers, take most of it. */
const PREPARE_TIMEOUT_MS = 2 * GENERATE_TIMEOUT_MS;
const COMMIT_TIMEOUT_MS = 10_000;
const OPEN_TIMEOUT_MS = 10_000;
/** A worker that does not say by then what it counted is shown as it was when it was asked last. */
const METRICS_TIMEOUT_MS = 1_000;
/** Workers end their drain by themselves; this is for those that hang. */
const DRAIN_ANSWER_TIMEOUT_MS = DRAIN_TIMEOUT_MS + RECORDING_GRACE_MS + 1_000;

/** What a worker says by itself, and is not dealt with here. */
export type Unasked = Exclude<FromWorker, { readonly kind: 'answer' | 'pong' }>;

/** A worker that has ended, or did not answer in time. */
export class WorkerGone extends Error {
  override readonly name = 'WorkerGone';
}

export interface LinkEvents {
  onMessage(message: Unasked, link: WorkerLink): void;
  /** Once, whatever ended it. */
  onEnd(link: WorkerLink, reason: string): void;
}

interface Pending {
  readonly resolve: (answer: WorkerAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** One worker thread, seen from the main thread. */
export class WorkerLink {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #unansweredPings = 0;
  #reason: string | undefined;
  #servesSince: number | undefined;
  /** What it had counted when it was asked last. */
  lastMetrics: MetricsSnapshot | undefined;
  /** Who had come to it without an identity, then. */
  lastPlaintextCallers: readonly PlaintextCaller[] = [];

  constructor(program: URL, name: string, settings: WorkerSettings, events: LinkEvents) {
    // no resourceLimits: V8's flags of the process (bin/sidecar-flags.mjs) hold in its workers, and go before them
    this.#worker = new Worker(program, { name, workerData: settings });
    this.#worker.on('message', (message: unknown) => {
      if (!isFromWorker(message)) return;
      this.#unansweredPings = 0;
      if (message.kind === 'answer') this.#settle(message.id, message.answer);
      else if (message.kind !== 'pong') events.onMessage(message, this);
    });
    this.#worker.on('error', (error: unknown) => {
      this.#reason ??= error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    this.#worker.on('exit', (code) => {
      const reason = this.#reason ?? `exit code ${code}`;
      for (const { reject, timer } of this.#pending.values()) {
        clearTimeout(timer);
        reject(new WorkerGone(`the worker ended: ${reason.split('\n', 1)[0]}`));
      }
      this.#pending.clear();
      events.onEnd(this, reason);
    });
  }

  get isServing(): boolean {
    return this.#servesSince !== undefined;
  }

  /** Milliseconds since its listeners opened; 0: they have not. */
  get servedForMs(): number {
    return this.#servesSince === undefined ? 0 : performance.now() - this.#servesSince;
  }

  /** Compiles the policies there. Like all that is asked: rejects with the worker's reasons, or with WorkerGone. */
  async prepare(snapshot: Snapshot): Promise<EffectiveDefaults> {
    const answer = await this.#ask({ kind: 'prepare', snapshot }, PREPARE_TIMEOUT_MS);
    if (answer.kind !== 'prepared') throw new WorkerGone(`a worker answered prepare with ${answer.kind}`);
    return answer.defaults;
  }

  /** Puts in force what was prepared last. */
  async commit({ version }: Snapshot): Promise<void> {
    await this.#ask({ kind: 'commit', version }, COMMIT_TIMEOUT_MS);
  }

  /** It takes connections afterwards. */
  async open(): Promise<void> {
    await this.#ask({ kind: 'open' }, OPEN_TIMEOUT_MS);
    this.#servesSince = performance.now();
  }

  /** Brings `lastMetrics` and `lastPlaintextCallers` up to date, if the worker answers in time. */
  async askMetrics(): Promise<void> {
    const answer = await this.#ask({ kind: 'metrics' }, METRICS_TIMEOUT_MS).catch(() => undefined);
    if (answer?.kind !== 'metrics') return;
    this.lastMetrics = answer.metrics;
    this.lastPlaintextCallers = answer.plaintextCallers;
  }

  async drain(): Promise<void> {
    this.#servesSince = undefined;
    await this.#ask({ kind: 'drain' }, DRAIN_ANSWER_TIMEOUT_MS);
  }

  post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /** Counts silence in pings, not by a clock: a program that was stopped as a whole kills nobody when it goes on. */
  ping(): void {
    if (this.#unansweredPings >= MAX_UNANSWERED_PINGS) {
      void this.end(`gave no sign of life for ${MAX_UNANSWERED_PINGS * PING_INTERVAL_MS} ms`);
      return;
    }
    this.#unansweredPings++;
    this.post({ kind: 'ping' });
  }

  /** Ends it at once, with what it is doing. */
  async end(reason: string): Promise<void> {
    this.#reason ??= reason;
    await this.#worker.terminate();
  }

  async #ask(request: WorkerRequest, timeoutMs: number): Promise<WorkerAnswer> {
    const id = ++this.#lastId;
    const answer = await new Promise<WorkerAnswer>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new WorkerGone(`a worker took longer than ${timeoutMs} ms to ${request.kind}`));
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      this.post({ kind: 'request', id, request });
    });
    if (answer.kind === 'failed') throw new SnapshotRefused(answer.reasons);
    return answer;
  }

  #settle(id: number, answer: WorkerAnswer): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    pending?.resolve(answer);
  }
}
