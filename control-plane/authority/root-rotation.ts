import { certificatesFromPem } from '#policy/x509/pem.ts';
import type { EventLog } from '../event-log.ts';
import type { AuthorityKeeper, KeptAuthority } from './authority-keeper.ts';
import { fingerprint, isOvertaken, promoted, retired } from './rotation.ts';
import { isTrustedEverywhere, judgeTrust, type ReplicaTrust, type TrustVerdict } from './trust-judgement.ts';
import type { TrustSurvey } from './trust-survey.ts';

export interface RootRotationOptions {
  readonly keeper: Pick<AuthorityKeeper, 'change'>;
  readonly kept: () => KeptAuthority;
  readonly survey: Pick<TrustSurvey, 'answer'>;
  /** What the other replicas know of their sidecars. */
  readonly otherReplicas: (roots: readonly string[]) => Promise<readonly ReplicaTrust[]>;
  /** True for a workload, NAMESPACE/NAME, that cannot come back. */
  readonly isGone: (name: string) => boolean;
  readonly isLeader: () => boolean;
  readonly leafLifetimeMs: number;
  /** So long others must be able to fetch the next root before it signs; default 0: there are no others. */
  readonly noticeMs?: number;
  readonly log: EventLog;
  readonly now: () => number;
}

/** Moves a change of the root on; the leader's work. Each step is stored before the next begins, and may be done again. */
export class RootRotation {
  readonly #options: RootRotationOptions;
  #isBusy = false;
  #lastFailure = '';

  constructor(options: RootRotationOptions) {
    this.#options = options;
  }

  /** Does what is to be done now, if anything is. Never rejects. */
  async step(): Promise<void> {
    const { isLeader, log } = this.#options;
    if (this.#isBusy || !isLeader()) return;
    this.#isBusy = true;
    try {
      await this.#step();
      this.#lastFailure = '';
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error);
      if (failure !== this.#lastFailure) log('root_rotation_failed', { error: failure });
      this.#lastFailure = failure;
    } finally {
      this.#isBusy = false;
    }
  }

  /** Who keeps the next root from being signed under; undefined: none is on its way. */
  async verdict(): Promise<TrustVerdict | undefined> {
    const { kept, survey, otherReplicas, isGone, noticeMs = 0, now } = this.#options;
    const { rotation } = kept().state;
    if (rotation?.stage !== 'trusting') return undefined;
    const roots = certificatesFromPem(rotation.next.root).map(fingerprint);
    const others = await otherReplicas(roots);
    const verdict = judgeTrust([{ replica: 'this one', answer: survey.answer(roots) }, ...others], now(), isGone);
    const noticedMs = rotation.startedMs + noticeMs;
    return noticedMs > now() ? { ...verdict, settlesMs: Math.max(verdict.settlesMs ?? 0, noticedMs) } : verdict;
  }

  async #step(): Promise<void> {
    const { keeper, kept, leafLifetimeMs, log, now } = this.#options;
    const { state, material } = kept();
    const { rotation } = state;
    if (rotation === undefined) return;
    if (rotation.stage === 'promoting') {
      await keeper.change((present) => present); // reading it again ends what was begun
      return;
    }
    if (rotation.stage === 'signing') {
      if (now() < rotation.retiresMs) return;
      await keeper.change((present) => retired(present, now()));
      log('root_retired', { fingerprint: rotation.from });
      return;
    }
    if (isOvertaken(state, material)) {
      await keeper.change((present, own) =>
        isOvertaken(present, own) ? { ...present, rotation: undefined } : present,
      );
      log('root_rotation_abandoned', { reason: 'the authority was replaced meanwhile' });
      return;
    }
    const verdict = rotation.isForced ? undefined : await this.verdict();
    if (verdict !== undefined && !isTrustedEverywhere(verdict)) return;
    log('root_trusted', { sidecars: verdict?.trusting, isForced: rotation.isForced });
    await keeper.change((present, own) => promoted(present, own, now(), leafLifetimeMs));
  }
}
