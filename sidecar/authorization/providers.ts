import type { Provider } from '#policy/authorization/provider.ts';
import { Refusal } from '#policy/error/refusal.ts';
import type { PeerPools } from '../outbound/peer-pools.ts';
import type { Gauge } from '../telemetry/metrics.ts';
import { shareOf } from '../workers/thread-share.ts';
import type { CheckedConnection } from './checked-request.ts';
import type { checkByProvider, ProviderWay } from './provider-checks.ts';
import type { Verdict } from './verdict.ts';

/**
 * Checks by one provider under way in this thread; requests beyond it are `overloaded`, also where the provider fails open: a
 * flood must not be a way past it.
 */
export const MAX_CHECKS_IN_FLIGHT = shareOf(1_000);

interface Counts {
  inFlight: number;
  readonly results: { allowed: number; denied: number; failed: number };
  seconds: number;
}

/** Asks providers, as many times at once as may be, and counts what they say. What asks is loaded at the first check. */
export class Providers {
  readonly #pools: () => PeerPools;
  readonly #counts = new Map<string, Counts>();
  #check: typeof checkByProvider | undefined;

  constructor(pools: () => PeerPools) {
    this.#pools = pools;
  }

  /** Throws `overloaded`, and what gave the request up. */
  async ask(provider: Provider, way: ProviderWay, checked: CheckedConnection, signal: AbortSignal): Promise<Verdict> {
    const counts = this.#countsOf(provider.name);
    if (counts.inFlight >= MAX_CHECKS_IN_FLIGHT) {
      const limit = `maxChecksInFlight ${MAX_CHECKS_IN_FLIGHT}`;
      throw new Refusal('overloaded', `checks by provider ${provider.name} under way exceed ${limit}`);
    }
    counts.inFlight++;
    const startedAt = performance.now();
    try {
      this.#check ??= (await import('./provider-checks.ts')).checkByProvider;
      const verdict = await this.#check(provider, way, this.#pools(), checked, signal);
      counts.results[verdict.kind]++;
      return verdict;
    } finally {
      counts.inFlight--;
      counts.seconds += (performance.now() - startedAt) / 1_000;
    }
  }

  readonly gauges: readonly Gauge[] = [
    {
      name: 'lateral_authorization_checks_total',
      help: 'Checks by providers of CUSTOM policies that ended, by provider and result (allowed, denied, failed).',
      type: 'counter',
      read: () =>
        this.#read(({ results }) => Object.entries(results).map(([result, count]) => [`result="${result}"`, count])),
    },
    {
      name: 'lateral_authorization_check_seconds_total',
      help: 'Time that requests waited for providers of CUSTOM policies.',
      type: 'counter',
      read: () => this.#read(({ seconds }) => [['', seconds]]),
    },
    {
      name: 'lateral_authorization_checks_in_flight',
      help: 'Checks by providers of CUSTOM policies under way.',
      type: 'gauge',
      read: () => this.#read(({ inFlight }) => [['', inFlight]]),
    },
  ];

  /** Providers are those of MeshDefaults: as many as a policy may have, whatever callers do. */
  #countsOf(name: string): Counts {
    const known = this.#counts.get(name);
    if (known !== undefined) return known;
    const made = { inFlight: 0, results: { allowed: 0, denied: 0, failed: 0 }, seconds: 0 };
    this.#counts.set(name, made);
    return made;
  }

  #read(of: (counts: Counts) => readonly (readonly [string, number])[]): (readonly [string, number])[] {
    return [...this.#counts].flatMap(([name, counts]) =>
      of(counts).map(([labels, value]) => {
        const provider = `provider="${name.replaceAll(/["\\\n]/g, '_')}"`;
        return [`{${labels === '' ? provider : `${provider},${labels}`}}`, value] as const;
      }),
    );
  }
}
