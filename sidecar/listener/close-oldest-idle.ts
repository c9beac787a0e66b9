import type { ServedConnection } from '../http/served-connection.ts';

/** Of the idle connections, how many are closed at a time … */
const CLOSED_SHARE = 1 / 4;
/** … and at least this many. */
const MIN_CLOSED = 16;

/** Ends those idle connections that have been so longest: they are the least likely to be missed. Returns how many. */
export function closeOldestIdle(connections: Iterable<ServedConnection>): number {
  const idle: { readonly connection: ServedConnection; readonly since: number }[] = [];
  for (const connection of connections) {
    const { kind, since } = connection.state;
    if (kind === 'idle') idle.push({ connection, since });
  }
  idle.sort((left, right) => left.since - right.since);
  const closed = idle.slice(0, Math.max(MIN_CLOSED, Math.ceil(idle.length * CLOSED_SHARE)));
  for (const { connection } of closed) connection.drain();
  return closed.length;
}
