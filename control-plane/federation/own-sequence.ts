import type { OwnSequence } from './federation-state.ts';

/**
 * The sequence number of the mesh's own bundle (SPIFFE Trust Domain and Bundle §4.1.1): the seconds at which its roots became
 * these, so that replicas and restarts that know of no number before agree by the clock; and in any case more than the one before.
 */
export function sequenceAfter(before: OwnSequence | undefined, digest: string, nowMs: number): OwnSequence {
  if (before?.digest === digest) return before;
  const seconds = Math.floor(nowMs / 1_000);
  return { sequence: Math.max(seconds, (before?.sequence ?? 0) + 1), digest };
}
