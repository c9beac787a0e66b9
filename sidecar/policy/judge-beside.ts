import { Refusal } from '#policy/error/refusal.ts';
import type { BodyFault } from '#policy/validation/body-fault.ts';
import type { BodyTask } from '#policy/validation/judge/body-task.ts';
import type { Verdict } from './judge-messages.ts';
import { type AskedBody, JudgingThread } from './judging-thread.ts';
import { epochNow } from './under-way.ts';

/** Bodies that wait for the judging thread, or are judged by it; more are `overloaded`. What they hold is bounded by MAX_BUFFERED_BYTES. */
export const MAX_JUDGED_BESIDE = 4_096;
/** Longest time the thread is at one body; then that is refused, and the thread begun anew. */
export const JUDGE_TIMEOUT_MS = 10_000;
/** Longest wait for the thread to begin with a body; then it is `overloaded`. */
export const JUDGE_WAIT_MS = 10_000;
/** The thread ends when it had nothing to do for so long: its memory is free again, and with it the units of old versions. */
export const JUDGE_IDLE_MS = 30_000;
/** The same where it holds rules of protobuf, which take some 0.3 s to make: a service that is called each minute shall not wait for them each time. */
export const RULES_IDLE_MS = 600_000;

interface Bounds {
  readonly timeoutMs: number;
  readonly waitMs: number;
  readonly idleMs: number;
}

interface Waiting extends AskedBody {
  timer: NodeJS.Timeout | undefined;
  resolve(fault: BodyFault | undefined): void;
  reject(error: Error): void;
}

/** Judges bodies in a thread of their own, begun with the first. One for all exchanges of a thread. */
export class BodyJudge {
  readonly #bounds: Bounds;
  /** By id, in the order in which they were asked. */
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;
  #thread: JudgingThread | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(bounds: Partial<Bounds> = {}) {
    this.#bounds = { timeoutMs: JUDGE_TIMEOUT_MS, waitMs: JUDGE_WAIT_MS, idleMs: JUDGE_IDLE_MS, ...bounds };
  }

  /**
   * What is wrong with a body; undefined: it is valid. The bytes are the thread's to read until then. A body that takes too long
   * is not found valid. Refuses: overloaded.
   */
  async judge(body: SharedArrayBuffer, task: BodyTask): Promise<BodyFault | undefined> {
    if (this.#waiting.size >= MAX_JUDGED_BESIDE) {
      throw new Refusal('overloaded', `bodies that wait to be judged exceed maxJudgedBeside ${MAX_JUDGED_BESIDE}`);
    }
    clearTimeout(this.#idle);
    this.#thread ??= this.#begin(); // may throw: then nobody waits
    const { promise, resolve, reject } = Promise.withResolvers<BodyFault | undefined>();
    this.#last += 1;
    const until = epochNow() + this.#bounds.waitMs;
    const waiting: Waiting = { id: this.#last, body, task, until, resolve, reject, timer: undefined };
    this.#waiting.set(waiting.id, waiting);
    this.#thread.ask(waiting);
    this.#watch(waiting, waiting.until);
    return promise;
  }

  #begin(): JudgingThread {
    return new JudgingThread(
      (verdict) => this.#onVerdict(verdict),
      (reason) => this.#onEnd(reason),
    );
  }

  /** Looks at it again when it may have taken too long, or waited too long. */
  #watch(waiting: Waiting, until: number): void {
    const ms = Math.min(this.#bounds.timeoutMs, until - epochNow());
    waiting.timer = setTimeout(() => this.#lookAt(waiting), Math.max(1, ms));
  }

  #lookAt(waiting: Waiting): void {
    const { timeoutMs, waitMs } = this.#bounds;
    const ms = this.#thread?.underWay.msOf(waiting.id);
    if (ms === undefined) {
      if (epochNow() < waiting.until) this.#watch(waiting, waiting.until);
      else this.#settle(waiting)?.reject(new Refusal('overloaded', `it waited longer than ${waitMs} ms to be judged`));
    } else if (ms < timeoutMs) this.#watch(waiting, epochNow() + timeoutMs - ms);
    else {
      this.#settle(waiting)?.resolve(tooSlow(timeoutMs));
      this.#renew();
    }
  }

  #onVerdict({ id, fault, error }: Verdict): void {
    const waiting = this.#settle(this.#waiting.get(id));
    if (error === undefined) waiting?.resolve(fault);
    else waiting?.reject(new Error(error));
  }

  /** What it was at is refused: nobody found it valid. With none under way another thread would fare no better. */
  #onEnd(reason: Error): void {
    const culprit = this.#waiting.get(this.#thread?.underWay.id ?? 0);
    this.#refuse(culprit === undefined ? [...this.#waiting.values()] : [culprit], reason);
    this.#renew();
  }

  /** Those that waited behind another are no worse for it. */
  #renew(): void {
    this.#thread?.end();
    this.#thread = undefined;
    clearTimeout(this.#idle);
    if (this.#waiting.size === 0) return;
    try {
      this.#thread = this.#begin();
      for (const waiting of this.#waiting.values()) this.#thread.ask(waiting);
    } catch (error) {
      this.#refuse([...this.#waiting.values()], error);
    }
  }

  #refuse(refused: readonly Waiting[], reason: unknown): void {
    const message = reason instanceof Error ? reason.message : String(reason);
    const refusal = new Refusal('overloaded', `the thread that judges large bodies ended: ${message}`);
    for (const waiting of refused) this.#settle(waiting)?.reject(refusal);
  }

  #settle(waiting: Waiting | undefined): Waiting | undefined {
    if (waiting === undefined) return undefined;
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting.id);
    if (this.#waiting.size === 0) this.#rest();
    return waiting;
  }

  #rest(): void {
    const idleMs = this.#thread?.holdsRules === true ? RULES_IDLE_MS : this.#bounds.idleMs;
    this.#idle = setTimeout(() => this.#renew(), idleMs).unref();
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
