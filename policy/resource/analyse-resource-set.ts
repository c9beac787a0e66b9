import { contradictions } from '../authorization/find-contradictions.ts';
import type { Problem } from '../problem.ts';
import type { Mesh } from '../workload-policy.ts';
import type { Resource } from './kind.ts';
import type { AuthorizationPolicySpec } from './kinds/authorization-policy.ts';
import { isForSidecars } from './kinds/authorization-policy.ts';
import { selects, type WorkloadSelector } from './kinds/workload-selector.ts';
import { problemAt, type SourcedResource } from './sourced-resource.ts';

/** Doubts about a set without errors: warnings, which never keep it from being put in force. */
export function analyseResourceSet(all: readonly SourcedResource[], mesh: Mesh): readonly Problem[] {
  const workloads = knownWorkloads(all);
  const problems: Problem[] = [];
  for (const sourced of all) {
    if (workloads.length > 0) problems.push(...unboundPolicy(sourced, workloads, mesh));
    if (sourced.any.type === 'AuthorizationPolicy') {
      problems.push(...unknownPrincipals(sourced, sourced.any.resource, workloads, mesh));
    }
  }
  return [...problems, ...contradictions(all)];
}

interface KnownWorkload {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: { readonly [key: string]: string };
}

/** The workloads that MeshServices declare; in a set without any, nothing is known about workloads. */
function knownWorkloads(all: readonly SourcedResource[]): readonly KnownWorkload[] {
  return all.flatMap(({ any }) => {
    if (any.type !== 'MeshService') return [];
    const { namespace, spec } = any.resource;
    return spec.endpoints.map(({ serviceAccount, labels }) => ({ namespace, serviceAccount, labels }));
  });
}

/**
 * A selector that no declared workload satisfies. Endpoints need not carry labels (a sidecar's own
 * configuration does): one without labels could be any workload of its namespace.
 */
function unboundPolicy(sourced: SourcedResource, workloads: readonly KnownWorkload[], mesh: Mesh): readonly Problem[] {
  const { any } = sourced;
  if (any.type === 'MeshService' || any.type === 'MeshDefaults' || any.type === 'APISchema') return [];
  const { namespace, spec } = any.resource;
  const selector: WorkloadSelector | undefined = spec.selector;
  if (Object.keys(selector?.matchLabels ?? {}).length === 0) return [];
  const isKnown = workloads.some((workload) => {
    if (Object.keys(workload.labels).length > 0) return selects(namespace, selector, workload, mesh.rootNamespace);
    return selects(namespace, undefined, workload, mesh.rootNamespace);
  });
  if (isKnown) return [];
  const message = 'the selector matches no workload that a MeshService of the namespace declares';
  return [problemAt(sourced, ['spec', 'selector'], 'warning', 'no_workload', message)];
}

/** Exact principals whose service account no endpoint has, in namespaces of which endpoints are declared. */
function unknownPrincipals(
  sourced: SourcedResource,
  { spec }: Resource<AuthorizationPolicySpec>,
  workloads: readonly KnownWorkload[],
  mesh: Mesh,
): readonly Problem[] {
  if (!isForSidecars(spec)) return [];
  const accounts = new Set(workloads.map(({ namespace, serviceAccount }) => `${namespace}/${serviceAccount}`));
  const namespaces = new Set(workloads.map(({ namespace }) => namespace));
  const problems: Problem[] = [];
  for (const [rule, { from }] of (spec.rules ?? []).entries()) {
    for (const [index, { source }] of (from ?? []).entries()) {
      for (const [position, principal] of (source.principals ?? []).entries()) {
        const complaint = principalDoubt(principal, accounts, namespaces, mesh);
        if (complaint === undefined) continue;
        const path = ['spec', 'rules', rule, 'from', index, 'source', 'principals', position];
        problems.push(problemAt(sourced, path, 'warning', 'unknown_principal', complaint));
      }
    }
  }
  return problems;
}

const PRINCIPAL = /^([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/;

function principalDoubt(
  principal: string,
  accounts: ReadonlySet<string>,
  namespaces: ReadonlySet<string>,
  mesh: Mesh,
): string | undefined {
  if (principal.includes('*')) return undefined;
  const [, trustDomain, namespace, serviceAccount] = PRINCIPAL.exec(principal) ?? [];
  if (trustDomain === undefined || namespace === undefined) {
    return `no identity of the mesh is ${principal}; the form is ${mesh.trustDomain}/ns/NAMESPACE/sa/SERVICEACCOUNT`;
  }
  if (trustDomain !== mesh.trustDomain) {
    return `${principal} is of the trust domain ${trustDomain}; that of the mesh is ${mesh.trustDomain}`;
  }
  if (!namespaces.has(namespace) || accounts.has(`${namespace}/${serviceAccount}`)) return undefined;
  return `no endpoint of namespace ${namespace} has the service account ${serviceAccount}`;
}
