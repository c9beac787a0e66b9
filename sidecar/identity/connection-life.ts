/** Of what is left of a connection's certificates when it is made, its last share is for ending it politely … */
const DRAIN_SHARE = 0.2;
/** … and no more than this. */
export const LONGEST_DRAIN_MS = 600_000;

/** How long a connection may be used; milliseconds since the epoch. Ask it each time: it may become shorter (`endSoon`). */
export interface ConnectionLife {
  /** From then on it takes nothing new: `connection: close`, GOAWAY. */
  readonly drainAtMs: number;
  /** Then it is cut: the certificates it was made with are good until then. */
  readonly endAtMs: number;
}

/** Of one that stands on certificates. */
export interface MortalLife extends ConnectionLife {
  drainAtMs: number;
  endAtMs: number;
}

/** One that is of no certificate. */
export const ENDLESS: ConnectionLife = {
  drainAtMs: Number.POSITIVE_INFINITY,
  endAtMs: Number.POSITIVE_INFINITY,
};

/**
 * The life of a connection that is made now with certificates of which the first ends at `endAtMs`. Made with one that is nearly
 * over, it drains nearer to the end: the next would be no better, and all would do nothing but begin.
 */
export function connectionLife(endAtMs: number, nowMs: number): MortalLife {
  const drainMs = Math.min(LONGEST_DRAIN_MS, Math.max(0, endAtMs - nowMs) * DRAIN_SHARE);
  return { drainAtMs: endAtMs - drainMs, endAtMs };
}

/** Takes nothing new from now on, and is cut at the latest after LONGEST_DRAIN_MS. */
export function endSoon(life: MortalLife, nowMs: number): void {
  life.drainAtMs = Math.min(life.drainAtMs, nowMs);
  life.endAtMs = Math.min(life.endAtMs, nowMs + LONGEST_DRAIN_MS);
}
