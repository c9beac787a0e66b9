import type { Count, DecisionRecord, ReportRequest } from '#proto/gen/lateral/v1/observation.ts';

/** Decisions that are kept: the last ones. */
export const MAX_KEPT_DECISIONS = 1_000;
/** Different counts that are kept; those beyond are added up under `other`. */
export const MAX_COUNT_SERIES = 10_000;
/** Decisions and counts taken from one message; a sidecar sends far fewer. */
const MAX_ENTRIES_A_REPORT = 2_000;
const MAX_TEXT_LENGTH = 2_048;

export interface ReportedDecision extends DecisionRecord {
  /** Proven by the reporter's certificate. */
  readonly reporter: string;
  readonly sidecar: string;
}

export interface ReportedCount extends Omit<Count, 'requests'> {
  readonly reporter: string;
  requests: number;
}

/** What sidecars reported, within bounds; in memory. */
export interface ObservationLog {
  take(reporter: string, report: ReportRequest): void;
  /** Latest last. */
  readonly decisions: readonly ReportedDecision[];
  readonly counts: readonly ReportedCount[];
  readonly droppedDecisions: number;
}

export function createObservationLog(): ObservationLog {
  let decisions: ReportedDecision[] = [];
  const counts = new Map<string, ReportedCount>();
  let droppedDecisions = 0;

  function add(reporter: string, count: Count): void {
    let series = { ...cut(count), reporter };
    if (!counts.has(keyOf(series)) && counts.size >= MAX_COUNT_SERIES) {
      series = { ...series, reporter: 'other', direction: 'other', peer: 'other', decision: 'other', code: 'other' };
    }
    const known = counts.get(keyOf(series));
    if (known === undefined) counts.set(keyOf(series), series);
    else known.requests += count.requests;
  }

  return {
    take(reporter, report) {
      droppedDecisions += report.droppedDecisions;
      for (const count of report.counts.slice(0, MAX_ENTRIES_A_REPORT)) add(reporter, count);
      const sidecar = report.sidecar.slice(0, MAX_TEXT_LENGTH);
      const fresh = report.decisions
        .slice(-MAX_KEPT_DECISIONS)
        .map((record) => ({ ...cut(record), reporter, sidecar }));
      decisions = [...decisions, ...fresh].slice(-MAX_KEPT_DECISIONS);
    },
    get decisions() {
      return decisions;
    },
    get counts() {
      return [...counts.values()];
    },
    get droppedDecisions() {
      return droppedDecisions;
    },
  };
}

function keyOf({ reporter, direction, peer, decision, code }: ReportedCount): string {
  return JSON.stringify([reporter, direction, peer, decision, code]);
}

/** The same record with every text cut to its bound. */
function cut<T extends object>(record: T): T {
  const copy = { ...record };
  for (const [name, value] of Object.entries(copy)) {
    if (typeof value === 'string' && value.length > MAX_TEXT_LENGTH) {
      Object.assign(copy, { [name]: value.slice(0, MAX_TEXT_LENGTH) });
    }
  }
  return copy;
}
