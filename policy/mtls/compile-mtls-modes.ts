import type { Resource } from '../resource/kind.ts';
import type { MutualTlsMode, PeerAuthenticationSpec } from '../resource/kinds/peer-authentication.ts';
import { hasLabels, selects } from '../resource/kinds/workload-selector.ts';
import type { BoundWorkload, Mesh, MtlsMode } from '../workload-policy.ts';

/** The mutual TLS modes of one workload. */
export interface MtlsModes {
  /** The mode of a port of the app. */
  mtlsMode(appPort: number): MtlsMode;
  /** One line for each policy that another one keeps from being in force. */
  readonly problems: readonly string[];
}

/**
 * Compiles what PeerAuthentications say about one workload. Port before workload before namespace before mesh, under
 * them `meshDefault`; UNSET inherits; of several at one level one alone is in force (Istio: the oldest; here, where
 * nobody knows their age: the first by namespace and name). Source: Istio, ComposePeerAuthentication.
 */
export function compileMtlsModes(
  policies: readonly Resource<PeerAuthenticationSpec>[],
  workload: Pick<BoundWorkload, 'namespace' | 'labels'>,
  mesh: Mesh,
  meshDefault: MtlsMode,
): MtlsModes {
  const problems: string[] = [];
  const inForceAt = (level: PeerAuthenticationLevel) => {
    const binding = policies.filter(
      (policy) =>
        levelOf(policy, mesh) === level &&
        selects(policy.namespace, policy.spec.selector, workload, mesh.rootNamespace),
    );
    const [first, ...others] = binding.sort(byName);
    for (const other of others) problems.push(supersededBy(other, first));
    return first?.spec;
  };
  const meshMode = modeOr(inForceAt('mesh')?.mtls, meshDefault);
  const namespaceMode = modeOr(inForceAt('namespace')?.mtls, meshMode);
  const own = inForceAt('workload');
  const workloadMode = modeOr(own?.mtls, namespaceMode);
  const byPort = new Map<number, MtlsMode>();
  for (const [port, mtls] of Object.entries(own?.portLevelMtls ?? {})) {
    byPort.set(Number(port), modeOr(mtls, workloadMode));
  }
  return { mtlsMode: (appPort) => byPort.get(appPort) ?? workloadMode, problems };
}

export type PeerAuthenticationLevel = 'mesh' | 'namespace' | 'workload';

/** Undefined: none; one with a selector in the root namespace binds nothing, as in Istio. */
export function levelOf(
  { namespace, spec }: Resource<PeerAuthenticationSpec>,
  mesh: Mesh,
): PeerAuthenticationLevel | undefined {
  const isRoot = namespace === mesh.rootNamespace;
  if (hasLabels(spec.selector)) return isRoot ? undefined : 'workload';
  return isRoot ? 'mesh' : 'namespace';
}

function modeOr(mtls: MutualTlsMode | undefined, inherited: MtlsMode): MtlsMode {
  const mode = mtls?.mode;
  return mode === undefined || mode === 'UNSET' ? inherited : mode;
}

function byName(left: Resource<unknown>, right: Resource<unknown>): number {
  if (left.namespace !== right.namespace) return left.namespace < right.namespace ? -1 : 1;
  return left.name < right.name ? -1 : 1;
}

function supersededBy(policy: Resource<unknown>, first: Resource<unknown> | undefined): string {
  const winner = `${first?.namespace}/${first?.name}`;
  return `PeerAuthentication ${policy.namespace}/${policy.name} is not in force: ${winner} binds the same workload and comes first`;
}
