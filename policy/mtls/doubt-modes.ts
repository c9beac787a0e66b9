import { appPort } from '../mesh/compiled-service.ts';
import type { Problem } from '../problem.ts';
import type { Resource } from '../resource/kind.ts';
import type { MeshDefaultsSpec } from '../resource/kinds/mesh-defaults.ts';
import type { MeshServiceSpec } from '../resource/kinds/mesh-service.ts';
import type { PeerAuthenticationSpec } from '../resource/kinds/peer-authentication.ts';
import { hasLabels, selects } from '../resource/kinds/workload-selector.ts';
import { problemAt, type SourcedResource } from '../resource/sourced-resource.ts';
import type { Path } from '../schema/schema.ts';
import type { Mesh } from '../workload-policy.ts';
import { levelOf } from './compile-mtls-modes.ts';

type Mode = PeerAuthenticationSpec['mtls'] | MeshDefaultsSpec['mtls'];

/** An endpoint that is of the mesh, and the ports of the app behind it. */
interface KnownEndpoint {
  readonly labels: { readonly [key: string]: string };
  readonly appPorts: readonly number[];
}

/**
 * Doubts about modes of mutual TLS: plaintext that is left on, and modes of which callers do not hear. `areLabelsWhole`: endpoints
 * carry all labels of their workloads, as in a cluster.
 */
export function mtlsDoubts(
  judged: readonly SourcedResource[],
  all: readonly SourcedResource[],
  mesh: Mesh,
  areLabelsWhole: boolean,
): readonly Problem[] {
  return judged.flatMap((sourced) => {
    const { any } = sourced;
    if (any.type === 'MeshDefaults') return modeDoubts(sourced, [[['spec', 'mtls', 'mode'], any.resource.spec.mtls]]);
    if (any.type !== 'PeerAuthentication' || levelOf(any.resource, mesh) === undefined) return [];
    const ports = Object.entries(any.resource.spec.portLevelMtls ?? {});
    const modes = [
      [['spec', 'mtls', 'mode'], any.resource.spec.mtls] as const,
      ...ports.map(([port, mtls]) => [['spec', 'portLevelMtls', port, 'mode'], mtls] as const),
    ];
    return [...modeDoubts(sourced, modes), ...callerDoubts(sourced, any.resource, all, mesh, areLabelsWhole)];
  });
}

function modeDoubts(sourced: SourcedResource, modes: readonly (readonly [Path, Mode])[]): readonly Problem[] {
  return modes.flatMap(([path, mtls]) => {
    if (mtls?.mode === 'DISABLE') {
      const message =
        'plaintext alone: whoever is on the network reads it and writes it, no caller has an identity, and no rule about one allows anybody';
      return [problemAt(sourced, path, 'warning', 'plaintext_alone', message)];
    }
    if (mtls?.mode !== 'PERMISSIVE') return [];
    const message =
      'plaintext beside mutual TLS is meant for the way to STRICT: `lateral proxies` tells who still calls in plaintext';
    return [problemAt(sourced, path, 'warning', 'plaintext_allowed', message)];
  });
}

/** By its endpoints callers are told of a mode: of the workloads, and of the ports that a policy names. */
function callerDoubts(
  sourced: SourcedResource,
  policy: Resource<PeerAuthenticationSpec>,
  all: readonly SourcedResource[],
  mesh: Mesh,
  areLabelsWhole: boolean,
): readonly Problem[] {
  const { namespace, spec } = policy;
  if (!hasLabels(spec.selector)) return [];
  const known = all.flatMap(({ any }) =>
    any.type === 'MeshService' && any.resource.namespace === namespace ? endpointsOf(any.resource.spec) : [],
  );
  const bound = known.filter(({ labels }) =>
    selects(namespace, spec.selector, { namespace, labels }, mesh.rootNamespace),
  );
  if (bound.length === 0) return known.length === 0 || areLabelsWhole ? [] : untoldCallers(sourced, policy);
  const ports = new Set(bound.flatMap(({ appPorts }) => appPorts));
  const unknown = Object.keys(spec.portLevelMtls ?? {}).filter((port) => !ports.has(Number(port)));
  const there = [...ports].sort((left, right) => left - right).join(', ');
  const hint = areLabelsWhole ? '' : '; a MeshService names the port of the app by `appPort` of the endpoint';
  return unknown.map((port) => {
    const message = `no endpoint of the workload has port ${port} of the app (there are ${there}), so that callers do not hear of it${hint}`;
    return problemAt(sourced, ['spec', 'portLevelMtls', port], 'warning', 'unknown_port', message);
  });
}

function untoldCallers(sourced: SourcedResource, { spec }: Resource<PeerAuthenticationSpec>): readonly Problem[] {
  const modes = [spec.mtls, ...Object.values(spec.portLevelMtls ?? {})];
  if (!modes.some((one) => one?.mode === 'DISABLE')) return [];
  const message =
    'no endpoint carries all of these labels, so that callers do not hear that they are to use plaintext; write them at the endpoints of the MeshService';
  return [problemAt(sourced, ['spec', 'selector'], 'warning', 'callers_not_told', message)];
}

function endpointsOf({ ports, endpoints }: MeshServiceSpec): readonly KnownEndpoint[] {
  return endpoints.flatMap((endpoint) => {
    if (endpoint.plaintext || endpoint.spiffeId !== undefined) return [];
    const servicePorts = ports?.map(({ port }) => port) ?? [endpoint.port];
    const shown = servicePorts.map((port) => appPort(endpoint, port));
    return [{ labels: endpoint.labels, appPorts: shown }];
  });
}
