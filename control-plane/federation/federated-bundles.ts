import { readBoundedFile } from '#files/read-bounded-file.ts';
import { watchPath } from '#files/watch-path.ts';
import { MAX_BUNDLE_BYTES } from '#policy/trust/spiffe-bundle.ts';
import type { EventLog } from '../event-log.ts';
import { FederatedDomain } from './federated-domain.ts';
import type { FederatedDomainConfiguration } from './federation-configuration.ts';
import { digestOf, type FederationMemory, type FederationStore, type OwnSequence } from './federation-state.ts';
import { keepRefreshed, REFRESH_LIMITS, type RefreshCounts, type RefreshLimits } from './keep-refreshed.ts';
import { sequenceAfter } from './own-sequence.ts';

/** The roots of one other trust domain. */
export interface FederatedBundle {
  readonly trustDomain: string;
  /** DER, at least one. */
  readonly roots: readonly Buffer[];
}

export interface FederatedDomainFacts {
  readonly trustDomain: string;
  readonly roots: number;
  /** When its endpoint last gave a bundle; undefined: never. */
  readonly fetchedAtMs: number | undefined;
  readonly failures: number;
  readonly lastError: string | undefined;
}

/** The bundles of all trust domains that the mesh federates with. */
export interface FederatedBundles {
  /** In the order of the configuration, roots in one of their own: equal trust is equal in all replicas. A domain of which nothing is known yet is left out. */
  readonly current: readonly FederatedBundle[];
  readonly facts: readonly FederatedDomainFacts[];
  /** Calls back after roots have changed; returns the function that ends it. */
  onChange(listener: () => void): () => void;
  /** The number under which these roots of the mesh's own are published: another for others, and never a lower one. */
  sequenceOf(ownRoots: readonly Buffer[]): number;
  /**
   * Asks all endpoints now, and stores what they say: to be called when the store takes what it did not before (this replica leads).
   * Where nothing is stored, what is known is: an endpoint may be away.
   */
  storeAnew(): Promise<void>;
  close(): Promise<void>;
}

export interface FederationOptions {
  readonly domains: readonly FederatedDomainConfiguration[];
  readonly store: FederationStore;
  readonly log: EventLog;
  readonly now: () => number;
  /** Default REFRESH_LIMITS. */
  readonly limits?: RefreshLimits;
}

/**
 * Opens the bundles of other trust domains: those of the last run, or as they are configured; then asks their endpoints, and
 * watches files. Rejects in one sentence where a bundle is configured that cannot be read, and none is remembered.
 */
export async function openFederatedBundles(options: FederationOptions): Promise<FederatedBundles> {
  const { store, log, now } = options;
  const memory = await recalled(store, log);
  const entries = await Promise.all(options.domains.map((one) => openDomain(one, memory, log)));
  const ending = new AbortController();
  const listeners = new Set<() => void>();
  let early = new AbortController();
  let own = memory?.own;
  let saving = Promise.resolve();

  const save = () => {
    const bundles = entries.flatMap(({ domain }) =>
      domain.remembered ? [[domain.trustDomain, domain.remembered] as const] : [],
    );
    const content: FederationMemory = { bundles: new Map(bundles), own };
    saving = saving
      .then(() => store.write(content))
      .catch((error: unknown) => log('federation_not_remembered', { error: String(error) }));
  };
  const changed = ({ trustDomain, roots, sequence }: FederatedDomain) => {
    log('federation_changed', { trustDomain, roots: roots.length, sequence: sequence?.toString() });
    for (const listener of listeners) listener();
  };

  const watches = entries.flatMap(({ configuration: { bundle }, domain }) => {
    if (bundle?.kind !== 'file') return [];
    const reread = async () => {
      try {
        const isChanged = domain.configure(await readBundleFile(bundle.value));
        save();
        if (isChanged) changed(domain);
      } catch (error) {
        log('federation_bundle_unreadable', unreadable(domain.trustDomain, error));
      }
    };
    return [watchPath(bundle.value, () => void reread())];
  });
  const rootsOf = (trustDomain: string) => entries.find((one) => one.domain.trustDomain === trustDomain)?.domain.roots;
  const loops = entries.map(({ configuration: { endpoint }, domain, counts }) => {
    if (endpoint === undefined) return Promise.resolve();
    const onRefreshed = (isChanged: boolean) => {
      save();
      if (isChanged) changed(domain);
    };
    const { limits = REFRESH_LIMITS } = options;
    return keepRefreshed({
      domain,
      endpoint,
      rootsOf,
      counts,
      onRefreshed,
      limits,
      log,
      signal: ending.signal,
      early: () => early.signal,
    });
  });

  if (entries.length > 0) save();
  return {
    get current() {
      return entries.flatMap(({ domain: { trustDomain, roots } }) =>
        roots.length === 0 ? [] : [{ trustDomain, roots: roots.toSorted(Buffer.compare) }],
      );
    },
    get facts() {
      return entries.map(({ domain, counts }) => ({
        trustDomain: domain.trustDomain,
        roots: domain.roots.length,
        fetchedAtMs: domain.fetchedAtMs,
        failures: counts.failures,
        lastError: counts.lastError,
      }));
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    sequenceOf(ownRoots) {
      const next: OwnSequence = sequenceAfter(own, digestOf(ownRoots), now());
      if (next !== own) {
        own = next;
        save();
      }
      return next.sequence;
    },
    async storeAnew() {
      const waiting = early;
      early = new AbortController();
      waiting.abort();
      if ((await recalled(store, log)) === undefined) save();
    },
    async close() {
      ending.abort();
      for (const end of watches) end();
      await Promise.all(loops);
      await saving;
    },
  };
}

interface Entry {
  readonly configuration: FederatedDomainConfiguration;
  readonly domain: FederatedDomain;
  readonly counts: RefreshCounts;
}

async function openDomain(
  configuration: FederatedDomainConfiguration,
  memory: FederationMemory | undefined,
  log: EventLog,
): Promise<Entry> {
  const { trustDomain, bundle } = configuration;
  const domain = new FederatedDomain(trustDomain);
  const remembered = memory?.bundles.get(trustDomain);
  let fault: unknown;
  try {
    if (bundle !== undefined)
      domain.configure(bundle.kind === 'file' ? await readBundleFile(bundle.value) : bundle.value);
  } catch (error) {
    const fields = unreadable(trustDomain, error);
    if (remembered === undefined) throw new Error(`federation: bundle of ${trustDomain}: ${fields.error}`);
    log('federation_bundle_unreadable', fields);
    fault = error;
  }
  // without an endpoint it is the configured one that counts, if it can be read
  const isUnreadable = fault !== undefined;
  if (remembered !== undefined && (isUnreadable || configuration.endpoint !== undefined)) {
    domain.recall(remembered, isUnreadable);
  }
  return { configuration, domain, counts: { failures: 0, lastError: undefined } };
}

async function recalled(store: FederationStore, log: EventLog): Promise<FederationMemory | undefined> {
  try {
    return await store.read();
  } catch (error) {
    log('federation_forgotten', {
      error: String(error),
      remedy: 'the configured bundles count until endpoints are asked',
    });
    return undefined;
  }
}

async function readBundleFile(path: string): Promise<string> {
  const file = await readBoundedFile(path, MAX_BUNDLE_BYTES);
  if (file === undefined) throw new Error(`${path}: no such file`);
  return file.text;
}

function unreadable(trustDomain: string, error: unknown) {
  return {
    trustDomain,
    error: error instanceof Error ? error.message : String(error),
    remedy: 'the one in force stays',
  };
}
