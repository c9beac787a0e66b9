import { appPort } from '../mesh/compiled-service.ts';
import type { Problem } from '../problem.ts';
import { type Attached, isForSidecars, targetedServices } from '../resource/kinds/attachment.ts';
import type { WorkloadSelector } from '../resource/kinds/workload-selector.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import type { Mesh, ServiceProtocol } from '../workload-policy.ts';
import { doubt } from './analysis-code.ts';

/** All service accounts that there are, as NAMESPACE/NAME; undefined: those of declared endpoints are known, and no others. */
export type KnownAccounts = ReadonlySet<string> | undefined;

export interface KnownWorkload {
  readonly namespace: string;
  readonly service: string;
  readonly serviceAccount: string;
  readonly labels: { readonly [key: string]: string };
  /** What is spoken on the ports of its app, as far as the service says. */
  readonly protocols: readonly (readonly [port: number, ServiceProtocol])[];
}

/** The workloads of the mesh that MeshServices declare; in a set without any, nothing is known about workloads. */
export interface KnownWorkloads {
  readonly all: readonly KnownWorkload[];
  readonly byNamespace: ReadonlyMap<string, readonly KnownWorkload[]>;
  /** Declared ones, with endpoints or without, as NAMESPACE/NAME. */
  readonly services: ReadonlySet<string>;
  /** Service accounts as NAMESPACE/NAME. */
  readonly accounts: ReadonlySet<string>;
  readonly knownAccounts: KnownAccounts;
  /** Namespaces with a MeshService that declares a TCP port. */
  readonly tcpNamespaces: ReadonlySet<string>;
}

export function knownWorkloads(resources: readonly SourcedResource[], knownAccounts: KnownAccounts): KnownWorkloads {
  const tcpNamespaces = new Set<string>();
  const services = new Set<string>();
  const all = resources.flatMap(({ any }) => {
    if (any.type !== 'MeshService') return [];
    const { namespace, name: service, spec } = any.resource;
    const ports = spec.ports ?? [];
    services.add(`${namespace}/${service}`);
    if (ports.some(({ protocol }) => protocol === 'tcp')) tcpNamespaces.add(namespace);
    return spec.endpoints.flatMap((endpoint) => {
      const { serviceAccount, labels } = endpoint;
      if (serviceAccount === undefined) return [];
      const protocols = ports.map(({ port, protocol }) => [appPort(endpoint, port), protocol] as const);
      return [{ namespace, service, serviceAccount, labels, protocols }];
    });
  });
  return {
    all,
    services,
    byNamespace: Map.groupBy(all, ({ namespace }) => namespace),
    accounts: new Set(all.map(({ namespace, serviceAccount }) => `${namespace}/${serviceAccount}`)),
    knownAccounts,
    tcpNamespaces,
  };
}

/** The known workloads that a policy could bind, before its selector. */
function candidatesOf(policy: Attached, { all, byNamespace }: KnownWorkloads, mesh: Mesh): readonly KnownWorkload[] {
  const { namespace } = policy;
  const isMeshWide = namespace === mesh.rootNamespace && targetedServices(policy).length === 0;
  return isMeshWide ? all : (byNamespace.get(namespace) ?? []);
}

/** The known workloads that a policy could bind. */
export function boundWorkloads(policy: Attached, workloads: KnownWorkloads, mesh: Mesh): readonly KnownWorkload[] {
  return candidatesOf(policy, workloads, mesh).filter((workload) => couldBeBound(workload, policy));
}

/** A policy that binds no workload of those that MeshServices declare. */
export function unboundPolicy(sourced: SourcedResource, workloads: KnownWorkloads, mesh: Mesh): readonly Problem[] {
  const { any } = sourced;
  if (workloads.all.length === 0) return [];
  if (any.type === 'MeshService' || any.type === 'MeshDefaults' || any.type === 'APISchema') return [];
  const { namespace } = any.resource;
  const targets = targetedServices(any.resource);
  if (targets.length > 0) return isForSidecars(any.resource) ? unknownTargets(sourced, targets, workloads) : [];
  const candidates = candidatesOf(any.resource, workloads, mesh);
  if (candidates.some((workload) => couldBeBound(workload, any.resource))) return [];
  const message =
    candidates.length === 0
      ? `binds no workload: no MeshService of namespace ${namespace} declares an endpoint`
      : 'binds no workload: the selector matches no endpoint that a MeshService of the namespace declares';
  const path = candidates.length === 0 ? ['metadata', 'namespace'] : ['spec', 'selector'];
  return [doubt(sourced, path, 'no_workload', message)];
}

function unknownTargets(
  sourced: SourcedResource,
  targets: readonly string[],
  { services }: KnownWorkloads,
): readonly Problem[] {
  const { namespace } = sourced.any.resource;
  return targets.flatMap((name, index) => {
    if (services.has(`${namespace}/${name}`)) return [];
    const message = `binds no workload of ${name}: namespace ${namespace} declares no MeshService of that name`;
    return [doubt(sourced, ['spec', 'targetRefs', index, 'name'], 'no_workload', message)];
  });
}

function couldBeBound(workload: KnownWorkload, policy: Attached): boolean {
  const targets = targetedServices(policy);
  return targets.length === 0 ? couldBeSelected(workload, policy.spec.selector) : targets.includes(workload.service);
}

/** Labels that name the workload by convention. */
const NAMING_LABELS: ReadonlySet<string> = new Set(['app', 'k8s-app', 'app.kubernetes.io/name']);

/**
 * An endpoint need not carry all the labels of its workload (the sidecar's own configuration does), so that an
 * absent label speaks against the selector only where it would name the workload.
 */
function couldBeSelected(workload: KnownWorkload, selector: WorkloadSelector | undefined): boolean {
  return Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => {
    const given = workload.labels[key];
    if (given !== undefined) return given === value;
    return !NAMING_LABELS.has(key) || value === workload.service || value === workload.serviceAccount;
  });
}
