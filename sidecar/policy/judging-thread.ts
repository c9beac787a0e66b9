import { Worker } from 'node:worker_threads';
import type { CompiledDocument, Unit } from '#policy/validation/api-model.ts';
import type { BodyTask } from '#policy/validation/judge/body-task.ts';
import { hasRules } from '#policy/validation/protobuf/judge-message.ts';
import { isVerdict, type ToJudge, type Verdict } from './judge-messages.ts';
import { UnderWay } from './under-way.ts';

/**
 * Heap of the thread, more than MAX_JSON_VALUE_BYTES and the text it is of: a thread that JSON.parse fills takes the whole process with it, since V8 does not
 * interrupt it.
 */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 1024, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };
/** Beside this file, and beside this file's bundle (scripts/build.mjs). */
const WORKER_PROGRAM = import.meta.url.endsWith('.ts') ? './judging-worker.ts' : './judging-worker.mjs';
/** Sources handed over at once, in characters: what is sent is copied on this thread. */
const SENT_CHARACTERS = 1024 * 1024;

/** A body to be judged. */
export interface AskedBody {
  /** Above 0. */
  readonly id: number;
  readonly body: SharedArrayBuffer;
  readonly task: BodyTask;
  /** Nobody waits for the verdict then: ms since the epoch. */
  readonly until: number;
}

/** One thread, which judges the bodies it is sent one after the other, and the documents it knows. */
export class JudgingThread {
  /** Some document has rules of protobuf. */
  holdsRules = false;
  readonly underWay = new UnderWay();
  readonly #worker: Worker;
  /** Numbers by which the thread knows the documents it has. */
  readonly #documents = new Map<CompiledDocument, Promise<number>>();
  #isEnded = false;

  /** `onEnd`: it ended by itself. */
  constructor(onVerdict: (verdict: Verdict) => void, onEnd: (reason: Error) => void) {
    const worker = new Worker(new URL(WORKER_PROGRAM, import.meta.url), {
      resourceLimits: WORKER_LIMITS,
      workerData: this.underWay.memory,
    });
    this.#worker = worker;
    const ended = (reason: Error) => {
      if (!this.#isEnded) onEnd(reason);
      this.#isEnded = true;
    };
    worker.on('message', (message: unknown) => {
      if (!this.#isEnded && isVerdict(message)) onVerdict(message);
    });
    worker.on('error', (error: unknown) => ended(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', (code) => ended(new Error(`the judging thread ended, code ${code}`)));
    worker.unref(); // after `on`, which counts it again: a sidecar that is told to end does not wait for it
  }

  ask({ id, body, task: { document, content, settings, boundary }, until }: AskedBody): void {
    const known = this.#documents.get(document) ?? this.#send(document);
    this.#documents.set(document, known);
    known.then((number) =>
      this.#post({ kind: 'judge', id, document: number, body, content, settings, boundary, until }),
    );
  }

  end(): void {
    this.#isEnded = true;
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
