import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { ClusterView } from '../kubernetes/resources/cluster-view.ts';
import { answerOf, type Question } from './remote-view.ts';
import type { Judgement } from './validate-review.ts';

/** Longest time that one object may take; then it is refused. With the wait for a turn it is below the API server's 10 s. */
export const JUDGE_TIMEOUT_MS = 5_000;
/** A worker that judged nothing for so long is ended. */
const IDLE_MS = 60_000;
/** Heap of the worker. An object that needs more is refused. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };
/** Beside this file, and beside this file's bundle (scripts/build.mjs). */
const WORKER_PROGRAM = import.meta.url.endsWith('.ts') ? './judge-worker.ts' : './judge-worker.mjs';

/** An object could not be judged within the limits; the message is for whoever wrote it. */
export class TooLargeToJudge extends Error {}

/**
 * Judges objects in a worker thread, one at a time: what is too large to be judged between two heartbeats. The worker is started
 * with the first and kept for the next; one that dies or takes too long is ended.
 */
export class JudgeInWorker {
  readonly #view: ClusterView;
  readonly #timeoutMs: number;
  #worker: Worker | undefined;
  #questions: MessagePort | undefined;
  #namespace = '';
  #idle: NodeJS.Timeout | undefined;

  constructor(view: ClusterView, timeoutMs = JUDGE_TIMEOUT_MS) {
    this.#view = view;
    this.#timeoutMs = timeoutMs;
  }

  /** `text`: the object as JSON. Not to be called again before it has settled. Rejects with `TooLargeToJudge`. */
  async judge(text: string, namespace: string): Promise<Judgement> {
    clearTimeout(this.#idle);
    this.#namespace = namespace;
    const worker = this.#worker ?? this.#start();
    const { promise, resolve, reject } = Promise.withResolvers<Judgement>();
    const tooLarge = (what: string) => new TooLargeToJudge(`${what}; divide it into smaller objects`);
    const deadline = setTimeout(() => reject(tooLarge(`not judged within ${this.#timeoutMs} ms`)), this.#timeoutMs);
    const onMessage = (judgement: Judgement) => resolve(judgement);
    const onError = (error: Error) => {
      const isMemory = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      const limit = `not judged within ${WORKER_LIMITS.maxOldGenerationSizeMb} MiB of memory`;
      reject(isMemory ? tooLarge(limit) : error);
    };
    const onExit = (code: number) => reject(new Error(`the worker that judges ended early, code ${code}`));
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    worker.postMessage(text);
    try {
      const judgement = await promise;
      this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
      return judgement;
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      clearTimeout(deadline);
      worker.off('message', onMessage).off('exit', onExit);
      worker.off('error', onError);
    }
  }

  /** Ends the worker; the next object starts another. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    this.#questions?.close();
    await worker?.terminate();
  }

  #start(): Worker {
    const { port1: ours, port2: theirs } = new MessageChannel();
    const signal = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    ours.on('message', (question: Question) => {
      try {
        ours.postMessage(answerOf(this.#view, question, this.#namespace));
        Atomics.store(signal, 0, 1);
        Atomics.notify(signal, 0);
      } catch (error) {
        worker.emit('error', error); // the worker waits for ever: it is ended
      }
    });
    ours.unref();
    const worker = new Worker(new URL(WORKER_PROGRAM, import.meta.url), {
      workerData: { port: theirs, signal },
      transferList: [theirs],
      resourceLimits: WORKER_LIMITS,
    });
    // between two objects: the next one starts another
    worker.on('error', () => {});
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    worker.unref();
    this.#worker = worker;
    this.#questions = ours;
    return worker;
  }
}
