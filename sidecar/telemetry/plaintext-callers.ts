import type { Gauge } from './metrics.ts';

/** Callers that are remembered, by address and port of the app; beyond that the one is forgotten that was seen least recently. */
export const MAX_PLAINTEXT_CALLERS = 256;
/** One that has not been seen for so long is forgotten. */
export const CALLER_KEPT_MS = 86_400_000;
/** Ports that are counted each for itself; further ones are counted together. */
const MAX_COUNTED_PORTS = 256;

/** Somebody who was let in without an identity. Times are milliseconds since the epoch. */
export interface PlaintextCaller {
  readonly address: string;
  /** The app's port. */
  readonly port: number;
  readonly connections: number;
  readonly requests: number;
  readonly lastSeenMs: number;
}

interface SeenCaller extends PlaintextCaller {
  connections: number;
  requests: number;
  lastSeenMs: number;
}

/** What is counted for one port of the app. */
export interface PlaintextPort {
  connection(address: string): void;
  request(address: string): void;
}

/** Who calls in plaintext: by this one knows when a port can be STRICT. */
export class PlaintextCallers {
  readonly #now: () => number;
  /** By `ADDRESS PORT`. */
  readonly #callers = new Map<string, SeenCaller>();
  readonly #totals = new Map<string, { connections: number; requests: number }>();

  /** `now`: milliseconds since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  port(appPort: number): PlaintextPort {
    const totals = () => this.#totalsOf(appPort);
    return {
      connection: (address) => {
        totals().connections++;
        this.#seen(address, appPort).connections++;
      },
      request: (address) => {
        totals().requests++;
        this.#seen(address, appPort).requests++;
      },
    };
  }

  /** Those of the last day, who was seen last first. */
  list(): readonly PlaintextCaller[] {
    this.#forgetOld();
    return [...this.#callers.values()].map((caller) => ({ ...caller })).sort(latestFirst);
  }

  readonly gauges: readonly Gauge[] = [
    {
      name: 'lateral_plaintext_connections_total',
      help: 'Connections that were served in plaintext, by port of the app.',
      type: 'counter',
      read: () => this.#series('connections'),
    },
    {
      name: 'lateral_plaintext_requests_total',
      help: 'Requests that came in plaintext, by port of the app.',
      type: 'counter',
      read: () => this.#series('requests'),
    },
  ];

  #series(kind: 'connections' | 'requests'): ReturnType<Gauge['read']> {
    return [...this.#totals].map(([port, totals]) => [`{port="${port}"}`, totals[kind]] as const);
  }

  #totalsOf(appPort: number): { connections: number; requests: number } {
    const known = this.#totals.get(String(appPort));
    if (known !== undefined) return known;
    const name = this.#totals.size < MAX_COUNTED_PORTS ? String(appPort) : 'other';
    const totals = this.#totals.get(name) ?? { connections: 0, requests: 0 };
    this.#totals.set(name, totals);
    return totals;
  }

  #seen(address: string, port: number): SeenCaller {
    const key = `${address} ${port}`;
    const lastSeenMs = this.#now();
    const known = this.#callers.get(key);
    if (known !== undefined) {
      known.lastSeenMs = lastSeenMs;
      return known;
    }
    if (this.#callers.size >= MAX_PLAINTEXT_CALLERS) this.#makeRoom();
    const caller = { address, port, connections: 0, requests: 0, lastSeenMs };
    this.#callers.set(key, caller);
    return caller;
  }

  #makeRoom(): void {
    this.#forgetOld();
    if (this.#callers.size < MAX_PLAINTEXT_CALLERS) return;
    let oldest: readonly [string, SeenCaller] | undefined;
    for (const entry of this.#callers) {
      if (oldest === undefined || entry[1].lastSeenMs < oldest[1].lastSeenMs) oldest = entry;
    }
    if (oldest !== undefined) this.#callers.delete(oldest[0]);
  }

  #forgetOld(): void {
    const before = this.#now() - CALLER_KEPT_MS;
    for (const [key, { lastSeenMs }] of this.#callers) if (lastSeenMs <= before) this.#callers.delete(key);
  }
}

/** The callers of several threads together. */
export function joinCallers(lists: Iterable<readonly PlaintextCaller[]>): readonly PlaintextCaller[] {
  const joined = new Map<string, PlaintextCaller>();
  for (const caller of [...lists].flat()) {
    const key = `${caller.address} ${caller.port}`;
    const known = joined.get(key);
    joined.set(key, known === undefined ? caller : sumOf(known, caller));
  }
  return [...joined.values()].sort(latestFirst).slice(0, MAX_PLAINTEXT_CALLERS);
}

function sumOf(one: PlaintextCaller, other: PlaintextCaller): PlaintextCaller {
  return {
    ...one,
    connections: one.connections + other.connections,
    requests: one.requests + other.requests,
    lastSeenMs: Math.max(one.lastSeenMs, other.lastSeenMs),
  };
}

function latestFirst(left: PlaintextCaller, right: PlaintextCaller): number {
  return right.lastSeenMs - left.lastSeenMs || (left.address < right.address ? -1 : 1) || left.port - right.port;
}
