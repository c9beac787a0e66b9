import { compileClauses } from '../authorization/compile-rule.ts';
import { contradictions } from '../authorization/find-contradictions.ts';
import { mtlsDoubts } from '../mtls/doubt-modes.ts';
import { supersededPeerAuthentications } from '../mtls/find-superseded.ts';
import type { Problem } from '../problem.ts';
import type { Mesh } from '../workload-policy.ts';
import type { Resource } from './kind.ts';
import type { AuthorizationPolicySpec } from './kinds/authorization-policy.ts';
import { isForSidecars } from './kinds/authorization-policy.ts';
import type { AuthorizationRule } from './kinds/authorization-rule.ts';
import type { WorkloadSelector } from './kinds/workload-selector.ts';
import { problemAt, type SourcedResource } from './sourced-resource.ts';

/** Doubts about a set without errors: warnings, which never keep it from being put in force. */
export function analyseResourceSet(all: readonly SourcedResource[], mesh: Mesh): readonly Problem[] {
  return analyse(all, all, mesh, undefined);
}

/** All service accounts that there are, as NAMESPACE/NAME; undefined: those of declared endpoints are known, and no others. */
export type KnownAccounts = ReadonlySet<string> | undefined;

/** What `analyseResourceSet` says of one resource of the set, without the cost of judging the others. */
export function analyseResource(
  one: SourcedResource,
  others: readonly SourcedResource[],
  mesh: Mesh,
  knownAccounts?: KnownAccounts,
): readonly Problem[] {
  return analyse([one], [one, ...others], mesh, knownAccounts);
}

/** The service accounts, as NAMESPACE/NAME, that a resource names: all of those that are must be among the known ones. */
export function namedAccounts({ any }: SourcedResource): readonly string[] {
  if (any.type !== 'AuthorizationPolicy') return [];
  const sources = (any.resource.spec.rules ?? []).flatMap(({ from }) => from ?? []);
  return sources.flatMap(({ source }) =>
    (source.principals ?? []).flatMap((principal) => {
      const [, , namespace, serviceAccount] = PRINCIPAL.exec(principal) ?? [];
      return namespace === undefined ? [] : [`${namespace}/${serviceAccount}`];
    }),
  );
}

/** False for what `analyseResource` says the same without, of a resource of this namespace. */
export function bearsOn({ any }: SourcedResource, namespace: string): boolean {
  if (any.type === 'MeshService') return true;
  const isPolicy = any.type === 'AuthorizationPolicy' || any.type === 'PeerAuthentication';
  return isPolicy && any.resource.namespace === namespace;
}

function analyse(
  judged: readonly SourcedResource[],
  all: readonly SourcedResource[],
  mesh: Mesh,
  knownAccounts: KnownAccounts,
): readonly Problem[] {
  const workloads = { ...knownWorkloads(all), knownAccounts };
  const tcpNamespaces = namespacesWithTcp(all);
  const problems: Problem[] = [];
  for (const sourced of judged) {
    if (workloads.all.length > 0) problems.push(...unboundPolicy(sourced, workloads, mesh));
    if (sourced.any.type !== 'AuthorizationPolicy') continue;
    problems.push(...unknownPrincipals(sourced, sourced.any.resource, workloads, mesh));
    problems.push(...denialOfTcp(sourced, sourced.any.resource, tcpNamespaces, mesh));
  }
  return [
    ...problems,
    ...contradictions(judged, all),
    ...supersededPeerAuthentications(judged, all, mesh),
    ...mtlsDoubts(judged, all, mesh, knownAccounts !== undefined),
  ];
}

interface KnownWorkload {
  readonly namespace: string;
  readonly service: string;
  readonly serviceAccount: string;
  readonly labels: { readonly [key: string]: string };
}

/** The workloads of the mesh that MeshServices declare; in a set without any, nothing is known about workloads. */
interface KnownWorkloads {
  readonly all: readonly KnownWorkload[];
  readonly byNamespace: ReadonlyMap<string, readonly KnownWorkload[]>;
  /** Service accounts as NAMESPACE/NAME. */
  readonly accounts: ReadonlySet<string>;
  readonly knownAccounts: KnownAccounts;
}

function knownWorkloads(resources: readonly SourcedResource[]): Omit<KnownWorkloads, 'knownAccounts'> {
  const all = resources.flatMap(({ any }) => {
    if (any.type !== 'MeshService') return [];
    const { namespace, name: service, spec } = any.resource;
    return spec.endpoints.flatMap(({ serviceAccount, labels }) =>
      serviceAccount === undefined ? [] : [{ namespace, service, serviceAccount, labels }],
    );
  });
  return {
    all,
    byNamespace: Map.groupBy(all, ({ namespace }) => namespace),
    accounts: new Set(all.map(({ namespace, serviceAccount }) => `${namespace}/${serviceAccount}`)),
  };
}

/** A policy that binds no workload of those that MeshServices declare. */
function unboundPolicy(sourced: SourcedResource, workloads: KnownWorkloads, mesh: Mesh): readonly Problem[] {
  const { any } = sourced;
  if (any.type === 'MeshService' || any.type === 'MeshDefaults' || any.type === 'APISchema') return [];
  const { namespace, spec } = any.resource;
  const selector: WorkloadSelector | undefined = spec.selector;
  const candidates = namespace === mesh.rootNamespace ? workloads.all : (workloads.byNamespace.get(namespace) ?? []);
  if (candidates.some((workload) => couldBeSelected(workload, selector))) return [];
  const message =
    candidates.length === 0
      ? `binds no workload: no MeshService of namespace ${namespace} declares an endpoint`
      : 'binds no workload: the selector matches no endpoint that a MeshService of the namespace declares';
  const path = candidates.length === 0 ? ['metadata', 'namespace'] : ['spec', 'selector'];
  return [problemAt(sourced, path, 'warning', 'no_workload', message)];
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

/** Namespaces with a MeshService that declares a TCP port. */
function namespacesWithTcp(all: readonly SourcedResource[]): ReadonlySet<string> {
  return new Set(
    all.flatMap(({ any }) =>
      any.type === 'MeshService' && (any.resource.spec.ports ?? []).some(({ protocol }) => protocol === 'tcp')
        ? [any.resource.namespace]
        : [],
    ),
  );
}

/** A DENY rule of HTTP fields alone denies every TCP connection of its scope, as in Istio. */
function denialOfTcp(
  sourced: SourcedResource,
  { namespace, spec }: Resource<AuthorizationPolicySpec>,
  tcpNamespaces: ReadonlySet<string>,
  mesh: Mesh,
): readonly Problem[] {
  const hasTcp = namespace === mesh.rootNamespace ? tcpNamespaces.size > 0 : tcpNamespaces.has(namespace);
  if (spec.action !== 'DENY' || !hasTcp) return [];
  const rules = (spec.rules ?? []).flatMap((rule, index) => (isHttpAlone(rule) ? [index] : []));
  const message = 'denies every TCP connection: only HTTP fields are in it, which TCP has not; name the port';
  return rules.map((index) => problemAt(sourced, ['spec', 'rules', index], 'warning', 'denies_tcp', message));
}

function isHttpAlone(rule: AuthorizationRule): boolean {
  const clauses = compileClauses(rule);
  return clauses.length > 0 && clauses.every(({ isHttp }) => isHttp);
}

/** Exact principals of service accounts that are not known; by endpoints alone those of a namespace without any are not either. */
function unknownPrincipals(
  sourced: SourcedResource,
  { spec }: Resource<AuthorizationPolicySpec>,
  workloads: KnownWorkloads,
  mesh: Mesh,
): readonly Problem[] {
  if (!isForSidecars(spec)) return [];
  const problems: Problem[] = [];
  for (const [rule, { from }] of (spec.rules ?? []).entries()) {
    for (const [index, { source }] of (from ?? []).entries()) {
      for (const [position, principal] of (source.principals ?? []).entries()) {
        const complaint = principalDoubt(principal, workloads, mesh);
        if (complaint === undefined) continue;
        const path = ['spec', 'rules', rule, 'from', index, 'source', 'principals', position];
        problems.push(problemAt(sourced, path, 'warning', 'unknown_principal', complaint));
      }
    }
  }
  return problems;
}

const PRINCIPAL = /^([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/;

function principalDoubt(principal: string, workloads: KnownWorkloads, mesh: Mesh): string | undefined {
  if (principal.includes('*')) return undefined;
  const [, trustDomain, namespace, serviceAccount] = PRINCIPAL.exec(principal) ?? [];
  if (trustDomain === undefined || namespace === undefined) {
    return `no identity of the mesh is ${principal}; the form is ${mesh.trustDomain}/ns/NAMESPACE/sa/SERVICEACCOUNT`;
  }
  if (mesh.otherDomains?.includes(trustDomain) === true) return undefined;
  if (trustDomain !== mesh.trustDomain) {
    return `${principal} is of the trust domain ${trustDomain}; that of the mesh is ${mesh.trustDomain}, and it is nobody's unless the mesh federates with the other or has it for an alias`;
  }
  const { accounts, byNamespace, knownAccounts } = workloads;
  const account = `${namespace}/${serviceAccount}`;
  if (knownAccounts !== undefined) {
    if (knownAccounts.has(account)) return undefined;
    return `there is no service account ${serviceAccount} in namespace ${namespace}`;
  }
  if (!byNamespace.has(namespace) || accounts.has(account)) return undefined;
  return `no endpoint of namespace ${namespace} has the service account ${serviceAccount} (expected where that workload only calls others)`;
}
