import type { ClientExchange } from './client-connection.ts';

/** Requests that wait for a connection to one endpoint; beyond it they fail. */
export const MAX_WAITING_REQUESTS = 10_000;
/** A request waits this long for a connection; then it fails, unsent. As long as a caller of ours waits for a handshake. */
export const POOL_WAIT_TIMEOUT_MS = 10_000;

/** Requests for which there is no connection yet, in the order they came. */
export class WaitingRequests {
  /** With the time since when each waits, monotonic ms. */
  readonly #requests = new Map<ClientExchange, number>();

  get size(): number {
    return this.#requests.size;
  }

  get isFull(): boolean {
    return this.#requests.size >= MAX_WAITING_REQUESTS;
  }

  add(exchange: ClientExchange, now: number): void {
    this.#requests.set(exchange, now);
  }

  /** The next one that still wants a connection; one that was kept is nothing for a request that is sent again. */
  take(isKept: boolean): ClientExchange | undefined {
    for (const exchange of this.#requests.keys()) {
      if (isKept && exchange.request.isRepeated === true && !exchange.isCancelled) continue;
      this.#requests.delete(exchange);
      if (!exchange.isCancelled) return exchange;
    }
    return undefined;
  }

  /** Takes out those that have waited too long, and forgets those that are not wanted any more. */
  takeLate(now: number): ClientExchange[] {
    const late: ClientExchange[] = [];
    for (const [exchange, since] of this.#requests) {
      const isLate = now - since > POOL_WAIT_TIMEOUT_MS;
      if (!isLate && !exchange.isCancelled) continue;
      this.#requests.delete(exchange);
      if (!exchange.isCancelled) late.push(exchange);
    }
    return late;
  }
}
