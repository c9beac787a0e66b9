/**
 * Sets an entry as the latest of a map that holds `limit` of them: of more, the one that was set first goes. Returns whether one
 * went.
 */
export function setBounded<K, V>(map: Map<K, V>, key: K, value: V, limit: number): boolean {
  map.delete(key); // one that is there takes no room from another, and comes last
  map.set(key, value);
  if (map.size <= limit) return false;
  const [oldest] = map.keys();
  return oldest !== undefined && map.delete(oldest);
}
