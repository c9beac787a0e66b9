import type { MtlsMode, WorkloadPolicy } from '#policy/workload-policy.ts';

/**
 * A port that has become DISABLE still takes mutual TLS for this long: its callers hear at about the same time, each for itself,
 * that they are to use plaintext, and who has not heard yet must not lose a request. What becomes STRICT is so at once.
 */
export const DISABLE_SETTLES_MS = 10_000;
/** Former modes that are remembered; of so many changes at once the oldest settle early. */
const MAX_FORMER_MODES = 16;

type ModeOf = WorkloadPolicy['mtlsMode'];

interface FormerModes {
  readonly modeOf: ModeOf;
  /** Monotonic milliseconds. */
  readonly settledAt: number;
}

/** The modes of one version of the policy after another. */
export class SettledModes {
  readonly #now: () => number;
  #inForce: ModeOf | undefined;
  #former: readonly FormerModes[] = [];

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes the modes of the version that is put in force now; returns them as they settle. */
  replace(modeOf: ModeOf): ModeOf {
    const now = this.#now();
    const last = this.#inForce === undefined ? [] : [{ modeOf: this.#inForce, settledAt: now + DISABLE_SETTLES_MS }];
    const former = [...this.#former.filter(({ settledAt }) => settledAt > now), ...last].slice(-MAX_FORMER_MODES);
    this.#former = former;
    this.#inForce = modeOf;
    return (appPort) => settled(modeOf(appPort), appPort, former, this.#now);
  }
}

function settled(mode: MtlsMode, appPort: number, former: readonly FormerModes[], now: () => number): MtlsMode {
  if (mode !== 'DISABLE' || former.length === 0) return mode;
  const time = now();
  const isNew = former.some(({ modeOf, settledAt }) => settledAt > time && modeOf(appPort) !== 'DISABLE');
  return isNew ? 'PERMISSIVE' : mode;
}
