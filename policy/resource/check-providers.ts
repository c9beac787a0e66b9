import type { Problem } from '../problem.ts';
import { problemAt, type SourcedResource } from './sourced-resource.ts';

/** Providers that CUSTOM policies name and the MeshDefaults among these resources do not have. */
export function checkProviders(all: readonly SourcedResource[]): readonly Problem[] {
  const names = new Set(
    all.flatMap(({ any }) =>
      any.type === 'MeshDefaults' ? (any.resource.spec.extensionProviders ?? []).map(({ name }) => name) : [],
    ),
  );
  return all.flatMap((sourced) => {
    if (sourced.any.type !== 'AuthorizationPolicy') return [];
    const { action, provider } = sourced.any.resource.spec;
    if (action !== 'CUSTOM' || provider === undefined || names.has(provider.name)) return [];
    const known = names.size === 0 ? 'it has none' : `known: ${[...names].join(', ')}`;
    const message = `MeshDefaults.extensionProviders has no ${provider.name}; ${known}`;
    return [problemAt(sourced, ['spec', 'provider', 'name'], 'error', 'unknown_reference', message)];
  });
}
