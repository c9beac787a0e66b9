import { Refusal } from '#policy/error/refusal.ts';
import { processPressure } from '../pressure/process-pressure.ts';
import { shareOf } from '../workers/thread-share.ts';
import type { Passage, WaitingFor } from './passage.ts';

/** How long a passage may wait without progress, by whom it waits for. */
export const STALL_LIMITS_MS: { readonly [W in WaitingFor]: number } = {
  /** The caller goes on with its request body. */
  'caller-body': 30_000,
  /** The app or peer begins its answer; long polls are shorter in practice. */
  'upstream-head': 60_000,
  /** The app or peer goes on with its answer; event streams may rest this long. */
  'upstream-body': 300_000,
  /** The caller reads its answer. */
  'caller-drain': 30_000,
  /** A provider of a CUSTOM policy answers; its own `timeout` is shorter. */
  provider: 65_000,
  /** Another thread judges a body; JUDGE_TIMEOUT_MS is shorter. */
  judgement: 15_000,
  /** The keys of an issuer come; the `timeout` of their rule is shorter. */
  issuer: 65_000,
  /** Either side of a switched connection (WebSocket) says something. */
  switched: 3_600_000,
  /** Either side of a TCP connection says something. The same as Envoy's default. */
  tcp: 3_600_000,
};

/**
 * The same for a gRPC call over HTTP/2, whoever it waits for: its streams rest as long as they like, and PING tells whether the
 * other side lives.
 */
export const GRPC_IDLE_LIMIT_MS = 3_600_000;
/** A call whose deadline (`grpc-timeout`) is over gets this long to end by itself: its caller ends it first. */
const DEADLINE_GRACE_MS = 500;

/** How often exchanges are looked at: limits are kept to this precision. */
const SWEEP_INTERVAL_MS = 500;

/** Exchanges and TCP connections of this thread in flight at once, both directions; further ones are `overloaded`. */
export const MAX_EXCHANGES = shareOf(20_000);

const PROCESS_PRESSURE: { readonly reason: string | undefined } = processPressure;

/**
 * Watches every exchange in flight with one timer: cheaper than a timer for each. An exchange without
 * progress for longer than its limit is given up with the code that says who was too slow.
 */
export class StallWatch {
  /** In no order; not a Set, for the reason that stands at StreamTable. */
  readonly #exchanges: Passage[] = [];
  readonly #limits: typeof STALL_LIMITS_MS;
  readonly #timer: NodeJS.Timeout;
  readonly #pressure: { readonly reason: string | undefined };
  #onEmpty: (() => void)[] = [];

  constructor(
    limits: typeof STALL_LIMITS_MS = STALL_LIMITS_MS,
    intervalMs = SWEEP_INTERVAL_MS,
    pressure = PROCESS_PRESSURE,
  ) {
    this.#pressure = pressure;
    this.#limits = limits;
    this.#timer = setInterval(() => this.#sweep(performance.now()), intervalMs);
    this.#timer.unref();
  }

  get size(): number {
    return this.#exchanges.length;
  }

  /** Refuses with `overloaded` when the sidecar already has as many exchanges as it may, or is short of memory or time. */
  add(exchange: Passage): void {
    const { reason } = this.#pressure;
    if (reason !== undefined) throw new Refusal('overloaded', reason);
    if (this.#exchanges.length >= MAX_EXCHANGES) {
      throw new Refusal('overloaded', `exchanges in flight exceed maxExchanges ${MAX_EXCHANGES}`);
    }
    exchange.watchIndex = this.#exchanges.length;
    this.#exchanges.push(exchange);
  }

  delete(exchange: Passage): void {
    const index = exchange.watchIndex;
    if (this.#exchanges[index] !== exchange) return;
    exchange.watchIndex = -1;
    const last = this.#exchanges.pop();
    if (last !== undefined && last !== exchange) {
      this.#exchanges[index] = last;
      last.watchIndex = index;
    }
    if (this.#exchanges.length === 0 && this.#onEmpty.length > 0)
      for (const resolve of this.#onEmpty.splice(0)) resolve();
  }

  /** Resolves when nothing is in flight any more. */
  async whenEmpty(): Promise<void> {
    if (this.#exchanges.length > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve));
  }

  /** Ends every exchange still in flight. */
  giveUpAll(refusal: Refusal): void {
    for (const exchange of [...this.#exchanges]) exchange.giveUp(refusal);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sweep(now: number): void {
    // from the end, as one that is given up may take itself out
    for (let at = this.#exchanges.length - 1; at >= 0; at--) {
      const exchange = this.#exchanges[at];
      if (exchange === undefined) continue;
      if (now > exchange.deadlineAt + DEADLINE_GRACE_MS) exchange.giveUp(pastDeadline());
      const limitMs = exchange.mayRest ? GRPC_IDLE_LIMIT_MS : this.#limits[exchange.waitingFor];
      if (now - exchange.progressedAt > limitMs) exchange.giveUp(stalled(exchange.waitingFor, limitMs));
    }
  }
}

function pastDeadline(): Refusal {
  return new Refusal('upstream_timeout', 'the deadline of the call (grpc-timeout) is over');
}

function stalled(whom: WaitingFor, limitMs: number): Refusal {
  switch (whom) {
    case 'caller-body':
      return new Refusal('request_timeout', `no progress of the request body for ${limitMs} ms`);
    case 'caller-drain':
      return new Refusal('client_gone', `the caller read nothing of its answer for ${limitMs} ms`);
    case 'upstream-head':
      return new Refusal('upstream_timeout', `no answer within ${limitMs} ms`);
    case 'upstream-body':
      return new Refusal('upstream_timeout', `no progress of the answer for ${limitMs} ms`);
    case 'provider':
      return new Refusal('upstream_timeout', `no answer of a provider for ${limitMs} ms`);
    case 'judgement':
      return new Refusal('overloaded', `no judgement of the body for ${limitMs} ms`);
    case 'issuer':
      return new Refusal('upstream_timeout', `no keys of an issuer for ${limitMs} ms`);
    case 'switched':
      return new Refusal('upstream_timeout', `no byte on the switched connection for ${limitMs} ms`);
    case 'tcp':
      return new Refusal('idle_timeout', `no byte in either direction for ${limitMs} ms`);
  }
}
