import { setBounded } from '#policy/trust/set-bounded.ts';
import type { DenialAlerts } from '#policy/workload-policy.ts';
import type { DecisionRecord } from '#proto/gen/lateral/v1/observation.ts';
import { decisionRecordOf, decisionRecordOfTcp, type TalliedDecisions } from '../control/decision-tally.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';

/** Within which refusals of one caller are counted together. */
export const WINDOW_MS = 60_000;
/** Callers that are watched; of more, the one whose first refusal is longest ago is forgotten. */
export const MAX_WATCHED_CALLERS = 4_096;
/** What an event shows of the paths, the codes and the decisions that led to it. */
const MAX_EVIDENCE = 10;

export type DenialKind = 'refusals' | 'paths';

/** Somebody is refused so often, or so many different things, that it is no accident. */
export interface DenialAlert {
  /** `refusals`: too many. `paths`: too many different ones, as of somebody who looks what is there. */
  readonly kind: DenialKind;
  /** SPIFFE ID; of one without, its address. */
  readonly caller: string;
  readonly sourceIp: string;
  readonly refusals: number;
  readonly distinctPaths: number;
  readonly windowMs: number;
  /** The latest of each. */
  readonly codes: readonly string[];
  readonly paths: readonly string[];
  readonly decisionIds: readonly string[];
}

interface Denial {
  readonly timeMs: number;
  readonly path: string;
  readonly code: string;
  readonly decisionId: string;
}

interface Watched {
  /** The latest, of the window alone; oldest first. */
  readonly denials: Denial[];
  /** When each kind was raised last: it is raised again only after a whole window without reason to. */
  readonly raised: Map<DenialKind, number>;
}

/**
 * Watches what callers are refused, or would be in Audit mode, on their way in. One event a caller and kind, with the evidence, not
 * repeated while it goes on.
 */
export class DenialWatch implements Recorder {
  readonly #limits: () => DenialAlerts | undefined;
  readonly #raise: (alert: DenialAlert) => void;
  readonly #callers = new Map<string, Watched>();
  readonly #counts = new Map<DenialKind, number>([
    ['refusals', 0],
    ['paths', 0],
  ]);

  /** `limits`: those in force; undefined: none are yet. */
  constructor(limits: () => DenialAlerts | undefined, raise: (alert: DenialAlert) => void) {
    this.#limits = limits;
    this.#raise = raise;
  }

  /** Events so far. */
  get counts(): ReadonlyMap<DenialKind, number> {
    return this.#counts;
  }

  record(exchange: Exchange): void {
    if (exchange.decision !== 'allow') this.#take(decisionRecordOf(exchange));
  }

  recordTcp(passage: TcpPassage): void {
    if (passage.decision !== 'allow') this.#take(decisionRecordOfTcp(passage));
  }

  recordConnection(decision: DecisionRecord): void {
    this.#take(decision);
  }

  /** Takes what a worker has tallied. */
  absorb({ decisions }: TalliedDecisions): void {
    for (const decision of decisions) this.#take(decision);
  }

  #take({ direction, source, sourceIp, timeMs, path, code, decisionId }: DecisionRecord): void {
    const limits = this.#limits();
    if (direction !== 'inbound' || limits === undefined || (limits.refusals === 0 && limits.distinctPaths === 0))
      return;
    const caller = source === '' ? sourceIp : source;
    const watched = this.#watched(caller);
    const { denials } = watched;
    denials.push({ timeMs, path, code, decisionId });
    while ((denials[0]?.timeMs ?? timeMs) <= timeMs - WINDOW_MS) denials.shift();
    const most = Math.max(limits.refusals, limits.distinctPaths) + 1;
    if (denials.length > most) denials.splice(0, denials.length - most);
    const paths = new Set(denials.flatMap((one) => (one.path === '' ? [] : [one.path])));
    const alert = (kind: DenialKind): DenialAlert => ({
      kind,
      caller,
      sourceIp,
      refusals: denials.length,
      distinctPaths: paths.size,
      windowMs: WINDOW_MS,
      codes: [...new Set(denials.map((one) => one.code))].slice(-MAX_EVIDENCE),
      paths: [...paths].slice(-MAX_EVIDENCE),
      decisionIds: denials.slice(-MAX_EVIDENCE).map((one) => one.decisionId),
    });
    const isOver = (limit: number, count: number) => limit > 0 && count > limit;
    if (isOver(limits.refusals, denials.length)) this.#tell(watched, 'refusals', timeMs, alert);
    if (isOver(limits.distinctPaths, paths.size)) this.#tell(watched, 'paths', timeMs, alert);
  }

  #watched(caller: string): Watched {
    const known = this.#callers.get(caller);
    if (known !== undefined) return known;
    const watched: Watched = { denials: [], raised: new Map() };
    setBounded(this.#callers, caller, watched, MAX_WATCHED_CALLERS);
    return watched;
  }

  #tell({ raised }: Watched, kind: DenialKind, timeMs: number, alert: (kind: DenialKind) => DenialAlert): void {
    const before = raised.get(kind);
    raised.set(kind, timeMs);
    if (before !== undefined && timeMs - before < WINDOW_MS) return;
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    this.#raise(alert(kind));
  }
}
