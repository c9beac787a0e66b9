import type { Socket } from 'node:net';
import type { Refusal } from '#policy/error/refusal.ts';
import type { ServedConnection } from '../http/served-connection.ts';

/** What is to be learned from the first bytes of a connection. */
export interface Question<Answer> {
  /** Undefined: more is needed. Called with all bytes so far, each time that some came. */
  judge(bytes: Buffer): Answer | undefined;
  /** How long bytes are waited for; undefined: the listener's own limits for idle connections and slow heads hold. */
  readonly timeoutMs: number | undefined;
  /** The answer where they did not come in time, or broke off. */
  readonly late: Answer;
}

/** `refusal`: the listener has lost its patience, and this is why. */
type OnAnswer<Answer> = (answer: Answer, bytes: Buffer, refusal: Refusal | undefined) => void;

const NOTHING = Buffer.alloc(0);

/**
 * A connection of which it is not known yet what it speaks. Reads until `judge` knows, then pauses the socket, lets go
 * of it and hands on the answer and the bytes that were read. `onAnswer` is called once, or not at all where the
 * caller left without a byte.
 */
export class FirstBytes<Answer> implements ServedConnection {
  readonly socket: Socket;
  readonly #question: Question<Answer>;
  readonly #onAnswer: OnAnswer<Answer>;
  readonly #onLeft: () => void;
  readonly #listeners = {
    data: (bytes: Buffer) => this.#take(bytes),
    end: () => this.#break(),
    close: () => this.#break(),
    error: () => this.socket.destroy(),
  };
  readonly #timer: NodeJS.Timeout | undefined;
  #bytes: Buffer = NOTHING;
  #since = performance.now();
  #isOver = false;

  constructor(socket: Socket, question: Question<Answer>, onAnswer: OnAnswer<Answer>, onLeft: () => void) {
    this.socket = socket;
    this.#question = question;
    this.#onAnswer = onAnswer;
    this.#onLeft = onLeft;
    if (question.timeoutMs !== undefined)
      this.#timer = setTimeout(() => this.#answer(question.late, undefined), question.timeoutMs);
    for (const [event, listener] of Object.entries(this.#listeners)) socket.on(event, listener);
  }

  get state(): { readonly kind: 'idle' | 'head'; readonly since: number } {
    return { kind: this.#bytes.length === 0 ? 'idle' : 'head', since: this.#since };
  }

  drain(): void {
    this.socket.destroy();
  }

  refuse(refusal: Refusal): void {
    this.#answer(this.#question.late, refusal);
  }

  #take(bytes: Buffer): void {
    if (this.#bytes.length === 0) this.#since = performance.now();
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
    const answer = this.#question.judge(this.#bytes);
    if (answer !== undefined) this.#answer(answer, undefined);
  }

  #answer(answer: Answer, refusal: Refusal | undefined): void {
    if (!this.#letGo()) return;
    this.socket.pause();
    this.#onAnswer(answer, this.#bytes, refusal);
  }

  /** The caller will say no more; what it said may still be worth an answer. */
  #break(): void {
    if (this.#bytes.length > 0 && !this.socket.destroyed) {
      this.#answer(this.#question.late, undefined);
      return;
    }
    if (!this.#letGo()) return;
    this.socket.on('error', () => {});
    this.socket.destroy();
    this.#onLeft();
  }

  #letGo(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    clearTimeout(this.#timer);
    for (const [event, listener] of Object.entries(this.#listeners)) this.socket.off(event, listener);
    return true;
  }
}
