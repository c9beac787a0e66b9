import type { ReflectorState } from '#control-plane/kubernetes/watch/reflector.ts';

/** What is known of reading one collection. */
export type Reading = Pick<ReflectorState, 'name' | 'isSynced' | 'error'>;

/** As the API server words it. */
export function isForbidden(why: string): boolean {
  return / (is )?forbidden|\b403\b/.test(why);
}

/** True once each collection was read or refused, those of the mesh's own kinds among them. */
export function areAllDecided(readings: readonly Reading[]): boolean {
  const areKindsKnown = readings.some(({ name }) => name.includes('.'));
  return areKindsKnown && readings.every(({ isSynced, error }) => isSynced || error !== undefined);
}

/**
 * Names all rights that are missing together, e.g. `user "dev" may not list pods, services in all namespaces`; undefined where
 * none is what is missing.
 */
export function missingRights(readings: readonly Reading[]): string | undefined {
  const refused = readings.filter(({ isSynced, error }) => !isSynced && error !== undefined && isForbidden(error));
  if (refused.length === 0) return undefined;
  const [, user] = /User "([^"]+)"/.exec(refused[0]?.error ?? '') ?? [];
  const places = new Map<string, string[]>();
  for (const { name } of refused) {
    const { resource, place } = placeOf(name);
    places.set(place, [...(places.get(place) ?? []), resource]);
  }
  const lists = [...places].map(([place, resources]) => `${[...new Set(resources)].join(', ')} ${place}`);
  return `${user === undefined ? 'your user' : `user "${user}"`} may not list ${lists.join(', nor ')}`;
}

/** Where a collection is: the one that a ConfigMap is read by is named `configmaps NAMESPACE/NAME`. */
function placeOf(name: string): { readonly resource: string; readonly place: string } {
  const [resource = '', object] = name.split(' ');
  if (object !== undefined) return { resource, place: `in namespace ${object.split('/')[0]}` };
  return { resource, place: 'in all namespaces' };
}
