import type { Snapshot } from '#policy/resource-set.ts';
import type { GeneratedValidator, ValidatorJob } from '#policy/validation/generate-validators.ts';
import type { EffectiveDefaults } from '#policy/workload-policy.ts';
import type { SidecarConfiguration } from '../configuration/sidecar-configuration.ts';
import type { TalliedDecisions } from '../control/decision-tally.ts';
import type { Credentials } from '../identity/credentials.ts';
import type { MetricsSnapshot } from '../telemetry/metrics.ts';
import type { PlaintextCaller } from '../telemetry/plaintext-callers.ts';
import type { SpanFacts } from '../telemetry/span-facts.ts';

/** What a worker is started with (`workerData`). */
export interface WorkerSettings {
  readonly kind: 'traffic-worker';
  readonly configuration: SidecarConfiguration;
  readonly credentials: Credentials;
  /** What secrets in the access log are hashed with: the same in all workers, or equal values could not be told. */
  readonly logKey: Uint8Array;
  /** Log lines that may wait in this worker. */
  readonly maxPendingLogBytes: number;
  /** Somebody reads log lines. */
  readonly wantsLog: boolean;
  /** The main thread takes spans. */
  readonly wantsSpans: boolean;
}

/** What the main thread asks of a worker; each is answered. */
export type WorkerRequest =
  /** Compile these policies beside the running traffic; they decide nothing yet. */
  | { readonly kind: 'prepare'; readonly snapshot: Snapshot }
  /** Put in force what was prepared last, which is of this version. */
  | { readonly kind: 'commit'; readonly version: string }
  | { readonly kind: 'open' }
  | { readonly kind: 'metrics' }
  /** Stop accepting, let requests end, send on all that was recorded. */
  | { readonly kind: 'drain' };

export type WorkerAnswer =
  | { readonly kind: 'done' }
  | { readonly kind: 'prepared'; readonly defaults: EffectiveDefaults }
  | {
      readonly kind: 'metrics';
      readonly metrics: MetricsSnapshot;
      readonly plaintextCallers: readonly PlaintextCaller[];
    }
  | { readonly kind: 'failed'; readonly reasons: readonly string[] };

/** What ended in a worker and is reported by the main thread. */
export interface WorkerRecords {
  readonly spans: readonly SpanFacts[];
  readonly decisions: TalliedDecisions;
}

export type ToWorker =
  | { readonly kind: 'request'; readonly id: number; readonly request: WorkerRequest }
  | { readonly kind: 'credentials'; readonly credentials: Credentials }
  /** Forget what was prepared: another worker refused it. */
  | { readonly kind: 'discard' }
  | { readonly kind: 'generated'; readonly id: number; readonly result: readonly GeneratedValidator[] | string }
  /** The lines sent last were written, or lost; the next may come. */
  | { readonly kind: 'lines-taken'; readonly areLost: boolean }
  | { readonly kind: 'records-taken' }
  /** Whether somebody reads log lines from now on. */
  | { readonly kind: 'log-wanted'; readonly isWanted: boolean }
  | { readonly kind: 'ping' };

export type FromWorker =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: WorkerAnswer }
  /** Schemas to compile; the main thread does it once for all workers. */
  | { readonly kind: 'generate'; readonly id: number; readonly jobs: readonly ValidatorJob[] }
  | { readonly kind: 'lines'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'records'; readonly records: WorkerRecords }
  | { readonly kind: 'pong' };

const TO_WORKER: ReadonlySet<unknown> = new Set<ToWorker['kind']>([
  'request',
  'credentials',
  'discard',
  'generated',
  'lines-taken',
  'records-taken',
  'log-wanted',
  'ping',
]);
const FROM_WORKER: ReadonlySet<unknown> = new Set<FromWorker['kind']>([
  'answer',
  'generate',
  'lines',
  'records',
  'pong',
]);

/** Both sides are of one program: the kind tells the rest. */
export function isToWorker(message: unknown): message is ToWorker {
  return hasKind(message) && TO_WORKER.has(message.kind);
}

export function isFromWorker(message: unknown): message is FromWorker {
  return hasKind(message) && FROM_WORKER.has(message.kind);
}

export function isWorkerSettings(data: unknown): data is WorkerSettings {
  return hasKind(data) && data.kind === 'traffic-worker';
}

function hasKind(message: unknown): message is { readonly kind: unknown } {
  return typeof message === 'object' && message !== null && 'kind' in message;
}
