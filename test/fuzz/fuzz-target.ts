/**
 * Something that takes any bytes. A new one (HTTP/2, HPACK) is one of these in a file of its own and a line in targets.ts;
 * its corpus is test/fuzz/corpus/NAME.
 */
export interface FuzzTarget {
  /** `--target NAME`. */
  readonly name: string;
  /** Sources whose coverage leads the search: their URLs contain one of these. */
  readonly sources: readonly string[];
  /** Inputs to begin with, beside the corpus. */
  readonly seeds: () => readonly Buffer[];
  /** Pieces that mutations put in. */
  readonly dictionary: readonly Buffer[];
  /** Longer inputs are cut. */
  readonly maxBytes: number;
  /**
   * Throws where an invariant is broken. Returns, in a few words, what became of the bytes: an outcome not seen before
   * is worth keeping, as new coverage is.
   */
  run(bytes: Buffer): string;
}

/** CPU that an input within a target's maxBytes may take; generous, as machines are slow and a garbage collection may fall in. */
export const MAX_RUN_MS = 2_000;

/** The same number for the same bytes: what a target varies must not depend on chance, or no failure comes again. */
export function numberOf(bytes: Buffer): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Throws an error that shows both. */
export function mustEqual(actual: string, expected: string, what: string): void {
  if (actual !== expected) throw new Error(`${what}:\n  ${actual}\nis not\n  ${expected}`);
}
