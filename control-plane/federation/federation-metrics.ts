import type { BundleEndpoint } from './bundle-endpoint.ts';
import type { FederatedDomainFacts } from './federated-bundles.ts';

const PREFIX = 'lateral_control_plane_';

/** Prometheus text; domains are few, and named by the configuration. */
export function federationMetricLines(facts: readonly FederatedDomainFacts[]): readonly string[] {
  if (facts.length === 0) return [];
  const series = (name: string, type: string, help: string, value: (one: FederatedDomainFacts) => number) => [
    `# HELP ${PREFIX}federation_${name} ${help}`,
    `# TYPE ${PREFIX}federation_${name} ${type}`,
    ...facts.map((one) => `${PREFIX}federation_${name}{trust_domain="${one.trustDomain}"} ${value(one)}`),
  ];
  return [
    ...series('roots', 'gauge', 'Roots in force of another trust domain.', ({ roots }) => roots),
    ...series(
      'last_success_timestamp_seconds',
      'gauge',
      'When its bundle endpoint last gave a bundle that was taken; 0: never.',
      ({ fetchedAtMs = 0 }) => Math.floor(fetchedAtMs / 1_000),
    ),
    ...series('failures_total', 'counter', 'Refreshes of its bundle that failed.', ({ failures }) => failures),
  ];
}

export function bundleEndpointMetricLines({ counts }: Pick<BundleEndpoint, 'counts'>): readonly string[] {
  const refused = `${PREFIX}bundle_connections_refused_total`;
  return [
    `# HELP ${PREFIX}bundle_requests_total Requests to the bundle endpoint.`,
    `# TYPE ${PREFIX}bundle_requests_total counter`,
    `${PREFIX}bundle_requests_total ${counts.requests}`,
    `# HELP ${refused} Connections to the bundle endpoint that were closed, by the bound that they met.`,
    `# TYPE ${refused} counter`,
    ...Object.entries(counts.connections.refused).map(([bound, n]) => `${refused}{bound="${bound}"} ${n}`),
  ];
}
