import type { ClientExchange } from './client-connection.ts';

/** Requests that wait for a connection to one endpoint; beyond it they fail. */
export const MAX_WAITING_REQUESTS = 10_000;
/** A request waits this long for a connection; then it fails, unsent. As long as a caller of ours waits for a handshake. */
export const POOL_WAIT_TIMEOUT_MS = 10_000;

/** Requests for which there is no connection yet, in the order they came. */
export class WaitingRequests {
  /** Not a Map, for the reason that stands at StreamTable. */
  readonly #requests: ClientExchange[] = [];

  get size(): number {
    return this.#requests.length;
  }

  get isFull(): boolean {
    return this.#requests.length >= MAX_WAITING_REQUESTS;
  }

  add(exchange: ClientExchange, now: number): void {
    exchange.waitsSince = now;
    this.#requests.push(exchange);
  }

  /** The next one that still wants a connection; one that was kept is nothing for a request that is sent again. */
  take(isKept: boolean): ClientExchange | undefined {
    const requests = this.#requests;
    for (let at = 0; at < requests.length; ) {
      const exchange = requests[at];
      if (exchange !== undefined && !exchange.isCancelled && isKept && exchange.request.isRepeated === true) {
        at++;
        continue;
      }
      requests.splice(at, 1);
      if (exchange?.isCancelled === false) return exchange;
    }
    return undefined;
  }

  /** Takes out those that have waited too long, and forgets those that are not wanted any more. */
  takeLate(now: number): ClientExchange[] {
    const late: ClientExchange[] = [];
    const waiting = this.#requests.splice(0);
    for (const exchange of waiting) {
      if (exchange.isCancelled) continue;
      const isLate = now - exchange.waitsSince > POOL_WAIT_TIMEOUT_MS;
      (isLate ? late : this.#requests).push(exchange);
    }
    return late;
  }
}
