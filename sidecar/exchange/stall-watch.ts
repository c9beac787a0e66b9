import { Refusal } from '#policy/error/refusal.ts';
import type { Exchange, WaitingFor } from './exchange.ts';

/** How long an exchange may wait without progress, by whom it waits for. */
export const STALL_LIMITS_MS: { readonly [W in WaitingFor]: number } = {
  /** The caller goes on with its request body. */
  'caller-body': 30_000,
  /** The app or peer begins its answer; long polls are shorter in practice. */
  'upstream-head': 60_000,
  /** The app or peer goes on with its answer; event streams may rest this long. */
  'upstream-body': 300_000,
  /** The caller reads its answer. */
  'caller-drain': 30_000,
  /** Either side of a switched connection (WebSocket) says something. */
  switched: 3_600_000,
};

/** How often exchanges are looked at: limits are kept to this precision. */
const SWEEP_INTERVAL_MS = 500;

/** Exchanges in flight at once, both directions; further ones are `overloaded`. */
export const MAX_EXCHANGES = 20_000;

/**
 * Watches every exchange in flight with one timer: cheaper than a timer for each. An exchange without
 * progress for longer than its limit is given up with the code that says who was too slow.
 */
export class StallWatch {
  readonly #exchanges = new Set<Exchange>();
  readonly #limits: typeof STALL_LIMITS_MS;
  readonly #timer: NodeJS.Timeout;

  constructor(limits: typeof STALL_LIMITS_MS = STALL_LIMITS_MS, intervalMs = SWEEP_INTERVAL_MS) {
    this.#limits = limits;
    this.#timer = setInterval(() => this.#sweep(performance.now()), intervalMs);
    this.#timer.unref();
  }

  get size(): number {
    return this.#exchanges.size;
  }

  /** Refuses with `overloaded` when the sidecar already has as many exchanges as it may. */
  add(exchange: Exchange): void {
    if (this.#exchanges.size >= MAX_EXCHANGES) {
      throw new Refusal('overloaded', `exchanges in flight exceed maxExchanges ${MAX_EXCHANGES}`);
    }
    this.#exchanges.add(exchange);
  }

  delete(exchange: Exchange): void {
    this.#exchanges.delete(exchange);
  }

  /** Ends every exchange still in flight. */
  giveUpAll(refusal: Refusal): void {
    for (const exchange of this.#exchanges) exchange.giveUp(refusal);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sweep(now: number): void {
    for (const exchange of this.#exchanges) {
      const limitMs = this.#limits[exchange.waitingFor];
      if (now - exchange.progressedAt > limitMs) exchange.giveUp(stalled(exchange.waitingFor, limitMs));
    }
  }
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
    case 'switched':
      return new Refusal('upstream_timeout', `no byte on the switched connection for ${limitMs} ms`);
  }
}
