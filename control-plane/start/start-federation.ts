import { resolve } from 'node:path';
import type { Authority } from '../authority/authority.ts';
import type { ControlPlaneConfiguration } from '../configuration.ts';
import type { EventLog } from '../event-log.ts';
import { type BundleEndpoint, type EndpointIdentity, startBundleEndpoint } from '../federation/bundle-endpoint.ts';
import { type FederatedBundle, openFederatedBundles } from '../federation/federated-bundles.ts';
import { bundleEndpointMetricLines, federationMetricLines } from '../federation/federation-metrics.ts';
import { type FederationStore, federationFile } from '../federation/federation-state.ts';
import type { RefreshLimits } from '../federation/keep-refreshed.ts';
import type { Kubernetes } from '../kubernetes/open-kubernetes.ts';
import type { Closer } from './closer.ts';

export interface RunningFederation {
  /** The roots of other trust domains, now. */
  readonly current: readonly FederatedBundle[];
  /** Calls back after they have changed. */
  onChange(listener: () => void): () => void;
  /** Serves the roots of the own domain, where the configuration says so; resolves to the port. */
  serveOwn(identity: () => EndpointIdentity, authority: Pick<Authority, 'trustBundle'>): Promise<number | undefined>;
  metricLines(): readonly string[];
}

/** Keeps the bundles of other trust domains; their endpoints are asked in the background. */
export async function startFederation(
  configuration: ControlPlaneConfiguration,
  kubernetes: Kubernetes | undefined,
  { log, limits }: { readonly log: EventLog; readonly limits?: RefreshLimits | undefined },
  closers: Closer[],
): Promise<RunningFederation> {
  const { federation = [], bundleEndpoint } = configuration;
  const store = await storeOf(configuration, kubernetes);
  const options = { domains: federation, store, log, now: Date.now, ...(limits === undefined ? {} : { limits }) };
  const bundles = await openFederatedBundles(options);
  closers.push(() => bundles.close());
  kubernetes?.onLeading(() => void bundles.storeAnew());
  let endpoint: BundleEndpoint | undefined;
  return {
    get current() {
      return bundles.current;
    },
    onChange: (listener) => bundles.onChange(listener),
    async serveOwn(identity, own) {
      if (bundleEndpoint === undefined) return undefined;
      endpoint = await startBundleEndpoint({
        listen: bundleEndpoint,
        identity,
        roots: () => own.trustBundle,
        sequenceOf: bundles.sequenceOf,
        log,
      });
      const opened = endpoint;
      closers.push(() => opened.close());
      return endpoint.port;
    },
    metricLines: () => [
      ...federationMetricLines(bundles.facts),
      ...(endpoint === undefined ? [] : bundleEndpointMetricLines(endpoint)),
    ],
  };
}

async function storeOf(
  { federation, bundleEndpoint, authority }: ControlPlaneConfiguration,
  kubernetes: Kubernetes | undefined,
): Promise<FederationStore> {
  if (federation === undefined && bundleEndpoint === undefined) return NOTHING_TO_REMEMBER;
  if (authority.kind === 'directory') return federationFile(resolve(authority.directory, '..', 'federation.json'));
  if (kubernetes === undefined) throw new Error('authority.kubernetesSecret needs a Kubernetes API server');
  const { FEDERATION_SECRET, secretFederationStore } = await import(
    '../kubernetes/identity/secret-federation-store.ts'
  );
  return secretFederationStore(kubernetes.secret(FEDERATION_SECRET), () => kubernetes.isLeader);
}

const NOTHING_TO_REMEMBER: FederationStore = { read: async () => undefined, write: async () => {} };
