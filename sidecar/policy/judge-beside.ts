import { Worker } from 'node:worker_threads';
import { Refusal } from '#policy/error/refusal.ts';
import type { CompiledDocument, Unit } from '#policy/validation/api-model.ts';
import type { BodyFault } from '#policy/validation/body-fault.ts';
import type { BodyTask } from '#policy/validation/judge/body-task.ts';
import { hasRules } from '#policy/validation/protobuf/judge-message.ts';
import { isVerdict, type ToJudge } from './judge-messages.ts';

/** Bodies that wait for the judging thread, or are judged by it; more are `overloaded`. What they hold is bounded by MAX_BUFFERED_BYTES. */
export const MAX_JUDGED_BESIDE = 4_096;
/** Longest time for one body, from when it is asked for; then it is refused, and the thread begun anew. */
export const JUDGE_TIMEOUT_MS = 10_000;
/** The thread ends when it had nothing to do for so long: its memory is free again, and with it the units of old versions. */
export const JUDGE_IDLE_MS = 30_000;
/** The same where it holds rules of protobuf, which take some 0.3 s to make: a service that is called each minute shall not wait for them each time. */
export const RULES_IDLE_MS = 600_000;
/** Heap of the thread. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };
/** Beside this file, and beside this file's bundle (scripts/build.mjs). */
const WORKER_PROGRAM = import.meta.url.endsWith('.ts') ? './judging-worker.ts' : './judging-worker.mjs';
/** Sources handed over at once, in characters: what is sent is copied on this thread. */
const SENT_CHARACTERS = 1024 * 1024;

interface Asked {
  resolve(fault: BodyFault | undefined): void;
  reject(error: Error): void;
}

/** Judges bodies in a thread of their own, begun with the first. One for all exchanges of a thread. */
export class BodyJudge {
  readonly #timeoutMs: number;
  readonly #idleMs: number;
  #bench: Bench | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(timeoutMs = JUDGE_TIMEOUT_MS, idleMs = JUDGE_IDLE_MS) {
    this.#timeoutMs = timeoutMs;
    this.#idleMs = idleMs;
  }

  /**
   * What is wrong with a body; undefined: it is valid. The bytes are the thread's to read until then. A body that takes too long
   * is not found valid. Refuses: overloaded.
   */
  async judge(body: SharedArrayBuffer, task: BodyTask): Promise<BodyFault | undefined> {
    this.#bench ??= new Bench();
    const bench = this.#bench;
    if (bench.asked.size >= MAX_JUDGED_BESIDE) {
      throw new Refusal('overloaded', `bodies that wait to be judged exceed maxJudgedBeside ${MAX_JUDGED_BESIDE}`);
    }
    clearTimeout(this.#idle);
    const { promise, resolve, reject } = Promise.withResolvers<BodyFault | undefined>();
    const deadline = setTimeout(() => {
      resolve(tooSlow(this.#timeoutMs));
      this.#end(bench, new Error('another body took too long'));
    }, this.#timeoutMs);
    bench.onEnd = (reason) => this.#end(bench, reason);
    bench.ask(body, task, { resolve, reject });
    try {
      return await promise;
    } finally {
      clearTimeout(deadline);
      if (this.#bench === bench && bench.asked.size === 0) {
        const idleMs = bench.holdsRules ? RULES_IDLE_MS : this.#idleMs;
        this.#idle = setTimeout(() => this.#end(bench, new Error('idle')), idleMs).unref();
      }
    }
  }

  /** What was asked of the thread is refused: nobody found it valid. */
  #end(bench: Bench, reason: Error): void {
    if (this.#bench === bench) this.#bench = undefined;
    bench.end(reason);
  }
}

/** The sidecar's own. */
export const bodyJudge = new BodyJudge();

/** The bytes in memory that another thread can read; copied where they are not. */
export function sharedBytes(bytes: Buffer): SharedArrayBuffer {
  const { buffer, byteLength } = bytes;
  if (buffer instanceof SharedArrayBuffer && buffer.byteLength === byteLength) return buffer;
  const shared = new SharedArrayBuffer(byteLength);
  bytes.copy(new Uint8Array(shared));
  return shared;
}

function tooSlow(timeoutMs: number): BodyFault {
  const message = `the value takes longer than ${timeoutMs} ms to check`;
  return { code: 'invalid_body', details: [{ in: 'body', pointer: '', keyword: 'work', message }] };
}

/** One thread, and what was asked of it. */
class Bench {
  readonly asked = new Map<number, Asked>();
  onEnd: ((reason: Error) => void) | undefined;
  readonly #worker = new Worker(new URL(WORKER_PROGRAM, import.meta.url), { resourceLimits: WORKER_LIMITS });
  /** Some document has rules of protobuf. */
  holdsRules = false;
  /** Numbers by which the thread knows the documents it has. */
  readonly #documents = new Map<CompiledDocument, Promise<number>>();
  #last = 0;

  constructor() {
    const worker = this.#worker;
    worker.on('message', (message: unknown) => {
      if (!isVerdict(message)) return;
      const asked = this.asked.get(message.id);
      this.asked.delete(message.id);
      if (message.error === undefined) asked?.resolve(message.fault);
      else asked?.reject(new Error(message.error));
    });
    worker.on('error', (error: unknown) => this.onEnd?.(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', (code) => this.onEnd?.(new Error(`the judging thread ended, code ${code}`)));
    worker.unref(); // after `on`, which counts it again: a sidecar that is told to end does not wait for it
  }

  ask(body: SharedArrayBuffer, { document, content, settings, boundary }: BodyTask, asked: Asked): void {
    const id = ++this.#last;
    this.asked.set(id, asked);
    const known = this.#documents.get(document) ?? this.#send(document);
    this.#documents.set(document, known);
    known.then(
      (number) => this.#post({ kind: 'judge', id, document: number, body, content, settings, boundary }),
      (error) => asked.reject(error),
    );
  }

  end(reason: Error): void {
    this.onEnd = undefined;
    const refusal = new Refusal('overloaded', `the thread that judges large bodies ended: ${reason.message}`);
    for (const { reject } of this.asked.values()) reject(refusal);
    this.asked.clear();
    this.#worker.terminate().catch(() => undefined);
  }

  /** Hands the units over some at a time, so that no request waits for the copying. */
  async #send(document: CompiledDocument): Promise<number> {
    const number = this.#documents.size;
    this.holdsRules ||= document.units.some(hasRules);
    let units: Unit[] = [];
    let characters = 0;
    for (const unit of document.units) {
      units.push(unit);
      characters += typeof unit === 'string' ? unit.length : SENT_CHARACTERS;
      if (characters < SENT_CHARACTERS) continue;
      this.#post({ kind: 'units', document: number, units });
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      units = [];
      characters = 0;
    }
    this.#post({ kind: 'units', document: number, units });
    return number;
  }

  #post(message: ToJudge): void {
    this.#worker.postMessage(message);
  }
}
