import type { Problem } from '../problem.ts';
import { canonicalJson } from '../resource/canonical-json.ts';
import type { Resource } from '../resource/kind.ts';
import type { PeerAuthenticationSpec } from '../resource/kinds/peer-authentication.ts';
import { placeOf, problemAt, type SourcedResource } from '../resource/sourced-resource.ts';
import type { Mesh } from '../workload-policy.ts';
import { levelOf } from './compile-mtls-modes.ts';

interface Sourced {
  readonly sourced: SourcedResource;
  readonly policy: Resource<PeerAuthenticationSpec>;
}

/** PeerAuthentications of `judged` that one among `all` of the same namespace and selector keeps out of force: the first by name alone counts. */
export function supersededPeerAuthentications(
  judged: readonly SourcedResource[],
  all: readonly SourcedResource[],
  mesh: Mesh,
): readonly Problem[] {
  const asked = new Set(judged.filter(({ any }) => any.type === 'PeerAuthentication'));
  if (asked.size === 0) return [];
  const policies: Sourced[] = all.flatMap((sourced) =>
    sourced.any.type === 'PeerAuthentication' && levelOf(sourced.any.resource, mesh) !== undefined
      ? [{ sourced, policy: sourced.any.resource }]
      : [],
  );
  const problems: Problem[] = [];
  for (const scope of Map.groupBy(policies, ({ policy }) => scopeOf(policy)).values()) {
    const [first, ...others] = scope.sort((left, right) => (left.policy.name < right.policy.name ? -1 : 1));
    if (first === undefined) continue;
    for (const { sourced } of others) {
      if (!asked.has(sourced)) continue;
      const winner = `${first.policy.namespace}/${first.policy.name} (${placeOf(first.sourced)})`;
      const message = `is not in force: PeerAuthentication ${winner} selects the same and comes first by name`;
      problems.push(problemAt(sourced, ['metadata', 'name'], 'warning', 'superseded', message));
    }
  }
  return problems;
}

function scopeOf({ namespace, spec }: Resource<PeerAuthenticationSpec>): string {
  return `${namespace} ${canonicalJson(spec.selector?.matchLabels ?? {})}`;
}
