import { Refusal } from '#policy/error/refusal.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { HeldBytes } from '#policy/http/held-bytes.ts';
import type { BodyPlan, ResponseJudgement, ResponseValidation } from '#policy/workload-policy.ts';
import { joinBytes } from '../http/join-bytes.ts';
import type { BodyConsumer, IncomingBody, UpstreamResponse } from '../http/message.ts';
import { Answer } from './answer.ts';
import type { Exchange } from './exchange.ts';
import { holdBody, releaseBytes, reserveBytes } from './hold-body.ts';
import { judgeWhole, mayRefuse, settle, settleUnread } from './judge-body.ts';
import { MessageGate } from './message-gate.ts';
import { WholeBody } from './whole-body.ts';

/** A response on its way to the caller. */
export interface Answering {
  /** Resolves when the last byte has been handed to the caller's codec; rejects with what ended it before. */
  end(): Promise<void>;
}

/** Begins the answer within the read that brought its head. Does not throw: `end` does. */
export function beginAnswer(exchange: Exchange, response: UpstreamResponse): Answering {
  const { responses } = exchange;
  if (responses !== undefined) return new JudgedAnswer(exchange, response, responses);
  const answer = new Answer(exchange, response.body);
  answer.begin(response);
  return answer;
}

/**
 * A response that is held against its description: the head before anything of it is told; the body while it streams past
 * (Audit), or before any of it is told (Enforce).
 */
class JudgedAnswer implements Answering {
  readonly #done: Promise<void>;

  constructor(exchange: Exchange, response: UpstreamResponse, responses: ResponseValidation) {
    this.#done = this.#pass(exchange, response, responses);
    this.#done.catch(() => undefined); // `end` tells
  }

  end(): Promise<void> {
    return this.#done;
  }

  async #pass(exchange: Exchange, response: UpstreamResponse, responses: ResponseValidation): Promise<void> {
    const { body } = response;
    exchange.enter('respond');
    let judged: ResponseJudgement;
    try {
      judged = judgeHead(exchange, response, responses);
    } catch (error) {
      body.cancel();
      throw error;
    }
    const { body: plan, messages } = judged;
    if (messages !== undefined)
      return passOn(exchange, response, new MessageGate(exchange, body, messages, 'upstream'));
    if (plan === undefined) return passOn(exchange, response, body);
    return mayRefuse(exchange, plan) ? passHeld(exchange, response, plan) : passWatched(exchange, response, plan);
  }
}

function judgeHead(
  exchange: Exchange,
  { head, body }: UpstreamResponse,
  responses: ResponseValidation,
): ResponseJudgement {
  const judgement = responses.judgeHead({
    status: head.status,
    headers: head.headers,
    isHead: exchange.server.head.method === 'HEAD',
    hasBody: body.isPresent,
    contentLength: body.declaredLength,
  });
  settle(exchange, judgement.findings);
  return judgement;
}

function passOn(exchange: Exchange, response: UpstreamResponse, body: IncomingBody): Promise<void> {
  const answer = new Answer(exchange, body);
  answer.begin(response);
  return answer.end();
}

/** Enforce: nothing is told until everything is judged. */
async function passHeld(exchange: Exchange, response: UpstreamResponse, plan: BodyPlan): Promise<void> {
  const { body } = response;
  let isWhole = false;
  try {
    await holdBody(exchange, body, plan.maxBytes, 'upstream', async (held) => {
      if (!held.isWhole) {
        settleUnread(exchange, held, plan);
        return passOn(exchange, response, held.body);
      }
      isWhole = true;
      await judgeWhole(exchange, held.bytes, plan);
      return passOn(exchange, response, new WholeBody(held.bytes, held.trailers));
    });
  } catch (error) {
    // Once it is whole the connection is another exchange's.
    if (!isWhole && !exchange.isAnswered) body.cancel();
    throw isWhole ? error : brokenOff(error);
  }
}

function brokenOff(error: unknown): unknown {
  if (error instanceof Refusal || !(error instanceof Error)) return error;
  return new Refusal('upstream_unavailable', `the response broke off: ${error.message}`);
}

/** Audit: it goes on as it comes; what was copied of it on the way is judged when it is over. */
async function passWatched(exchange: Exchange, response: UpstreamResponse, plan: BodyPlan): Promise<void> {
  const watched = new WatchedBody(response.body, plan.maxBytes);
  try {
    await passOn(exchange, response, watched);
    const bytes = await watched.whole();
    if (bytes !== undefined) await judgeWhole(exchange, bytes, plan);
    else if (watched.size > plan.maxBytes) settle(exchange, [plan.tooLarge(watched.size)]);
    else
      exchange.audit({
        code: 'overloaded',
        reason: 'the response was not judged: no memory was left for it',
        facts: {},
      });
  } finally {
    watched.release();
  }
}

/** Memory for a body of undeclared length is taken in such steps. */
const WATCHED_STEP_BYTES = 64 * 1024;

/** Passes a body on, and keeps a copy of it as long as it is not longer than it may be and there is memory. */
class WatchedBody implements IncomingBody, BodyConsumer {
  readonly isPresent: boolean;
  readonly declaredLength: number | undefined;
  /** Bytes that came so far. */
  size = 0;
  readonly #source: IncomingBody;
  readonly #maxBytes: number;
  #consumer: BodyConsumer | undefined;
  #held: HeldBytes | undefined = new HeldBytes();
  #reserved = 0;
  #isOver = false;

  constructor(source: IncomingBody, maxBytes: number) {
    this.#source = source;
    this.#maxBytes = maxBytes;
    this.isPresent = source.isPresent;
    this.declaredLength = source.declaredLength;
  }

  /** Undefined: it did not come to its end, was too long, or there was no memory to keep it. */
  whole(): Buffer | Promise<Buffer> | undefined {
    return this.#isOver && this.#held !== undefined ? joinBytes(this.#held) : undefined;
  }

  /** The memory is no longer needed. */
  release(): void {
    this.#held = undefined;
    releaseBytes(this.#reserved);
    this.#reserved = 0;
  }

  start(consumer: BodyConsumer): void {
    this.#consumer = consumer;
    this.#source.start(this);
  }

  onChunk(chunk: Buffer): void {
    this.size += chunk.length;
    if (this.#held !== undefined) {
      if (this.#hasRoom()) this.#held.push(chunk);
      else this.release();
    }
    this.#consumer?.onChunk(chunk);
  }

  #hasRoom(): boolean {
    if (this.size > this.#maxBytes) return false;
    if (this.size <= this.#reserved) return true;
    const wanted = this.declaredLength ?? this.size + WATCHED_STEP_BYTES;
    const step = Math.max(wanted, this.size) - this.#reserved;
    if (!reserveBytes(step)) return false;
    this.#reserved += step;
    return true;
  }

  onEnd(trailers: FlatHeaders): void {
    this.#isOver = true;
    this.#consumer?.onEnd(trailers);
  }

  onError(error: Error): void {
    this.#consumer?.onError(error);
  }

  pause(): void {
    this.#source.pause();
  }

  resume(): void {
    this.#source.resume();
  }

  cancel(): void {
    this.#source.cancel();
  }
}
