import { mtlsDoubts } from '../mtls/doubt-modes.ts';
import { supersededPeerAuthentications } from '../mtls/find-superseded.ts';
import type { Problem } from '../problem.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import { finish } from '../steps/finish.ts';
import type { Mesh } from '../workload-policy.ts';
import { alikeRules } from './count-alike-rules.ts';
import { unknownCallers } from './doubt-callers.ts';
import { providerDoubts } from './doubt-providers.ts';
import { shapeDoubts } from './doubt-rule-shape.ts';
import { tcpDoubts } from './doubt-tcp.ts';
import { tokenDoubts } from './doubt-tokens.ts';
import { valueDoubts } from './doubt-values.ts';
import { coveredProblems, coveredRules } from './find-covered-rules.ts';
import { type KnownAccounts, knownWorkloads, unboundPolicy } from './known-workloads.ts';
import type { ScopeMemory } from './rule-scope.ts';

/** Doubts about a set without errors: warnings, which never keep it from being put in force. */
export function analyseResourceSet(all: readonly SourcedResource[], mesh: Mesh): readonly Problem[] {
  return finish(analysisOf(all, mesh));
}

/** The same in steps of well under a millisecond, for whoever has others waiting. */
export function analysisOf(all: readonly SourcedResource[], mesh: Mesh): Generator<void, readonly Problem[]> {
  return analyse(all, all, mesh, undefined);
}

/** What `analyseResourceSet` says of one resource of the set, without the cost of judging the others. `memory`: of the others, from one time to the next. */
export function analyseResource(
  one: SourcedResource,
  others: readonly SourcedResource[],
  mesh: Mesh,
  knownAccounts?: KnownAccounts,
  memory?: ScopeMemory,
): readonly Problem[] {
  return finish(analysisOfOne(one, others, mesh, knownAccounts, memory));
}

/** The same in steps. */
export function analysisOfOne(
  one: SourcedResource,
  others: readonly SourcedResource[],
  mesh: Mesh,
  knownAccounts?: KnownAccounts,
  memory?: ScopeMemory,
): Generator<void, readonly Problem[]> {
  return analyse([one], [one, ...others], mesh, knownAccounts, memory);
}

/** False for what `analyseResource` says the same without, of a resource of this namespace. */
export function bearsOn({ any }: SourcedResource, namespace: string, { rootNamespace }: Mesh): boolean {
  if (any.type === 'MeshService' || any.type === 'MeshDefaults') return true;
  if (any.type === 'PeerAuthentication') return any.resource.namespace === namespace;
  if (any.type !== 'AuthorizationPolicy') return false;
  // What is said of tokens in the root namespace is said of all workloads.
  if (namespace === rootNamespace) return true;
  return any.resource.namespace === namespace || any.resource.namespace === rootNamespace;
}

function* analyse(
  judged: readonly SourcedResource[],
  all: readonly SourcedResource[],
  mesh: Mesh,
  knownAccounts: KnownAccounts,
  memory?: ScopeMemory,
): Generator<void, readonly Problem[]> {
  const workloads = knownWorkloads(all, knownAccounts);
  const problems: Problem[] = [];
  for (const sourced of judged) {
    problems.push(...unboundPolicy(sourced, workloads, mesh));
    yield;
    if (sourced.any.type === 'RequestAuthentication') {
      problems.push(...tokenDoubts(sourced, sourced.any.resource, all, mesh));
      yield;
    }
    if (sourced.any.type !== 'AuthorizationPolicy') continue;
    const policy = sourced.any.resource;
    problems.push(...(yield* shapeDoubts(sourced, policy)));
    problems.push(...unknownCallers(sourced, policy, workloads, mesh));
    yield;
    problems.push(...tcpDoubts(sourced, policy, workloads, mesh));
    yield;
    problems.push(...providerDoubts(sourced, policy, all, workloads, mesh));
    yield;
    problems.push(...valueDoubts(sourced, policy));
    yield;
  }
  return [
    ...problems,
    ...coveredProblems(yield* coveredRules(judged, all, mesh, memory)),
    ...(yield* alikeRules(judged, all)),
    ...supersededPeerAuthentications(judged, all, mesh),
    ...mtlsDoubts(judged, all, mesh, knownAccounts !== undefined),
  ];
}
