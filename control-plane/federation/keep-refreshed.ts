import { setTimeout as wait } from 'node:timers/promises';
import type { EventLog } from '../event-log.ts';
import { type BackoffLimits, createBackoff } from '../kubernetes/watch/backoff.ts';
import type { FederatedDomain } from './federated-domain.ts';
import type { BundleEndpointConfiguration } from './federation-configuration.ts';
import { fetchBundle, type RootsOf } from './fetch-bundle.ts';
import { remedyOf } from './fetch-remedies.ts';

/** How often an endpoint is asked, whatever it hints. Default: SPIFFE Federation §4.1. */
export interface RefreshLimits {
  readonly shortestMs: number;
  readonly longestMs: number;
  readonly defaultMs: number;
  readonly backoff: BackoffLimits;
}

export const REFRESH_LIMITS: RefreshLimits = {
  shortestMs: 60_000,
  longestMs: 86_400_000,
  defaultMs: 300_000,
  backoff: { firstMs: 5_000, longestMs: 300_000 },
};
/** Part of a wait that is random, so that replicas do not ask as one. */
const JITTER = 0.1;

export interface RefreshCounts {
  /** Since the start. */
  failures: number;
  /** Why the last one failed; undefined: it did not. */
  lastError: string | undefined;
}

export interface RefreshOptions {
  readonly domain: FederatedDomain;
  readonly endpoint: BundleEndpointConfiguration;
  readonly rootsOf: RootsOf;
  readonly counts: RefreshCounts;
  /** After each answer that was taken. */
  readonly onRefreshed: (isChanged: boolean) => void;
  readonly limits: RefreshLimits;
  readonly log: EventLog;
  readonly signal: AbortSignal;
  /** Asked at each wait: what ends that one early; undefined: nothing does. */
  readonly early?: (() => AbortSignal) | undefined;
}

/** Asks a bundle endpoint again and again, until the signal; what it gave last stays in force meanwhile. Never rejects. */
export async function keepRefreshed(options: RefreshOptions): Promise<void> {
  const { domain, limits, signal, early } = options;
  const backoff = createBackoff(limits.backoff);
  while (!signal.aborted) {
    const isRefreshed = await refresh(options);
    if (isRefreshed) backoff.reset();
    const intervalMs = intervalOf(domain.refreshHintS, limits);
    const waitMs = isRefreshed ? intervalMs * (1 - JITTER * Math.random()) : Math.min(backoff.next(), intervalMs);
    const ending = early === undefined ? signal : AbortSignal.any([signal, early()]);
    await wait(waitMs, undefined, { signal: ending, ref: false }).catch(() => {});
  }
}

export function intervalOf(hintS: number | undefined, limits: RefreshLimits): number {
  const wantedMs = hintS === undefined ? limits.defaultMs : hintS * 1_000;
  return Math.min(limits.longestMs, Math.max(limits.shortestMs, wantedMs));
}

async function refresh({ domain, endpoint, rootsOf, counts, onRefreshed, log, signal }: RefreshOptions) {
  const { trustDomain } = domain;
  try {
    const isChanged = domain.refresh(await fetchBundle(endpoint, rootsOf, signal), Date.now());
    if (counts.lastError !== undefined) log('federation_refresh_recovered', { trustDomain });
    counts.lastError = undefined;
    onRefreshed(isChanged);
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    const reason = error instanceof Error ? error.message : String(error);
    counts.failures += 1;
    if (reason !== counts.lastError)
      log('federation_refresh_failed', failureFields(domain, endpoint.url, reason, error));
    counts.lastError = reason;
    return false;
  }
}

function failureFields(domain: FederatedDomain, url: string, error: string, cause: unknown) {
  const { trustDomain, roots, fetchedAtMs } = domain;
  const lastSuccess = fetchedAtMs === undefined ? undefined : new Date(fetchedAtMs).toISOString();
  return { trustDomain, url, error, remedy: remedyOf(cause), rootsInForce: roots.length, lastSuccess };
}
