import { grpcTitle } from './measures/grpc.ts';
import { FULL } from './measures/handshakes.ts';
import { httpTitle } from './measures/http.ts';
import { IDLE_TITLE } from './measures/idle.ts';
import { bothCpu, figure } from './measures/measure.ts';
import { RATE_TITLE } from './measures/rate.ts';
import { growth, streamTitle } from './measures/streams.ts';
import { VALIDATION_TITLES } from './measures/validation.ts';
import { AT_THE_START, type Figures, type Row } from './rows.ts';

/** More than a heap's ebb and flow, less than a third of the body: a body that is held shows. */
const FLAT_MB = 32;

/** By size of body. */
const VALIDATION_LIMITS_US = [15, 700];

type Bound = { readonly atLeast: number } | { readonly atMost: number };

/** What is to be reached: a figure of Lateral's, or its ratio to another pair's. */
export type Target = Bound & {
  readonly what: string;
  readonly measure: string;
  readonly load: string;
  readonly of: (figures: Figures) => number;
  /** Absent: the figure itself is bounded. */
  readonly against?: 'envoy' | 'nginx';
};

export interface Verdict {
  readonly what: string;
  readonly wanted: string;
  readonly outcome: Outcome;
}

export type Outcome =
  | { readonly kind: 'measured'; readonly seen: number; readonly isReached: boolean }
  | { readonly kind: 'not measured'; readonly reason: string };

const perSecond = figure('perSecond');
const megabytes = figure('megabytesPerSecond');
const resident = ({ residentOutMb = NaN, residentInMb = NaN }: Figures) => Math.max(residentOutMb, residentInMb);

/** The table "To reach" of the work on wire speed, and what validation may add. */
export const TARGETS: readonly Target[] = [
  http('requests/s', 32, perSecond, { atLeast: 2.2 }, 'envoy'),
  http('requests/s', 32, perSecond, { atLeast: 0.85 }, 'nginx'),
  http('requests/s', 128, perSecond, { atLeast: 2.5 }, 'envoy'),
  http('requests/s', 128, perSecond, { atLeast: 0.95 }, 'nginx'),
  http('CPU per request', 1, bothCpu, { atMost: 0.65 }, 'envoy'),
  http('CPU per request', 32, bothCpu, { atMost: 0.45 }, 'envoy'),
  http('CPU per request', 128, bothCpu, { atMost: 0.45 }, 'envoy'),
  ...grpc(32),
  ...grpc(128),
  rate('p50', figure('p50Ms'), { atMost: 0.85 }),
  rate('p99', figure('p99Ms'), { atMost: 1 }),
  rate('p99.9', figure('p999Ms'), { atMost: 1 }),
  {
    what: 'bytes/s, answers of 64 kB',
    measure: 'answers',
    load: httpTitle(32),
    of: megabytes,
    atLeast: 0.9,
    against: 'nginx',
  },
  ...streams('down'),
  ...streams('up'),
  { what: `MB resident, ${RATE_TITLE}`, measure: 'rate', load: RATE_TITLE, of: resident, atMost: 100 },
  { what: 'kB an idle connection', measure: 'idle', load: IDLE_TITLE, of: figure('kilobytesEach'), atMost: 80 },
  {
    what: 'handshakes a second of a core',
    measure: 'handshakes',
    load: FULL,
    of: figure('perCore'),
    atLeast: 1,
    against: 'nginx',
  },
  ...VALIDATION_TITLES.map((load, index) => ({
    ...{ what: `us that validation adds, ${load}`, measure: 'validation', load, of: figure('addedUs') },
    atMost: VALIDATION_LIMITS_US[index] ?? 0,
  })),
];

/** What no run of this program can tell. */
export const NOT_MEASURED_HERE =
  'Not measured here: 80 MB resident standalone without OTLP (these pairs export), memory over 10 minutes of load.';

/** One verdict a target. A measure, pair or load that was left out, or failed, leaves its targets unmeasured. */
export function judge(rows: readonly Row[], targets: readonly Target[] = TARGETS): Verdict[] {
  return targets.map((target) => {
    const unit = target.against === undefined ? '' : `x ${target.against}`;
    const wanted = 'atLeast' in target ? `>= ${target.atLeast}${unit}` : `<= ${target.atMost}${unit}`;
    return { what: target.what, wanted, outcome: outcomeOf(target, rows) };
  });
}

function outcomeOf(target: Target, rows: readonly Row[]): Outcome {
  const own = figuresOf(rows, target, 'lateral');
  if (typeof own === 'string') return { kind: 'not measured', reason: own };
  const other = target.against === undefined ? undefined : figuresOf(rows, target, target.against);
  if (typeof other === 'string') return { kind: 'not measured', reason: other };
  const seen = other === undefined ? target.of(own) : target.of(own) / target.of(other);
  if (!Number.isFinite(seen)) return { kind: 'not measured', reason: 'nothing to divide by' };
  return {
    kind: 'measured',
    seen,
    isReached: 'atLeast' in target ? seen >= target.atLeast : seen <= target.atMost,
  };
}

/** The pair's figures, or why there are none. */
function figuresOf(rows: readonly Row[], { measure, load }: Target, pair: string): Figures | string {
  const measured = rows.filter((row) => row.measure === measure);
  if (measured.length === 0) return `${measure} was left out`;
  const own = measured.filter((row) => row.pair === pair);
  if (own.length === 0) return `${pair} was left out`;
  if (own.some((row) => row.failure !== undefined && (row.load === load || row.load === AT_THE_START))) {
    return `${pair} failed`;
  }
  return own.find((row) => row.load === load)?.figures ?? `${load}: left out`;
}

function http(what: string, connections: number, of: Target['of'], bound: Bound, against: 'envoy' | 'nginx'): Target {
  const load = httpTitle(connections);
  return { what: `${what}, ${load}`, measure: 'http', load, of, against, ...bound };
}

function grpc(streams: number): readonly Target[] {
  return [1, 4].flatMap((connections): Target[] => {
    const load = grpcTitle(streams, connections);
    const common = { measure: 'grpc', load, against: 'envoy' } as const;
    return [
      { what: `gRPC calls/s, ${load}`, of: perSecond, atLeast: 2.5, ...common },
      { what: `gRPC CPU per call, ${load}`, of: bothCpu, atMost: 0.35, ...common },
    ];
  });
}

function rate(what: string, of: Target['of'], bound: Bound): Target {
  return { what: `${what}, ${RATE_TITLE}`, measure: 'rate', load: RATE_TITLE, of, against: 'envoy', ...bound };
}

function streams(direction: 'down' | 'up'): readonly Target[] {
  const load = streamTitle(direction);
  return [
    { what: `bytes/s, ${load}`, measure: 'streams', load, of: megabytes, atLeast: 0.9, against: 'nginx' },
    { what: `MB grown, ${load}`, measure: 'streams', load, of: growth, atMost: FLAT_MB },
  ];
}
