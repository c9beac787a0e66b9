import type { DecisionRecord } from '#proto/gen/lateral/v1/observation.ts';
import type { Exchange } from './exchange.ts';
import type { TcpPassage } from './tcp-passage.ts';

/** Takes what is known of an exchange when it has ended. Must not throw and not wait. */
export interface Recorder {
  record(exchange: Exchange, endedAt: number): void;
  /** The same of a TCP connection; absent: it takes none of them. */
  recordTcp?(passage: TcpPassage, endedAt: number): void;
  /** A connection, or bytes on one, that never became a request; absent: it takes none of them. */
  recordConnection?(decision: DecisionRecord): void;
}

/** Last stage of both directions: hands the ended exchange to log, metrics, span and decision record. */
export function record(exchange: Exchange, recorders: readonly Recorder[]): void {
  const endedAt = performance.now();
  for (const recorder of recorders) recorder.record(exchange, endedAt);
}

/** The same for a TCP connection. */
export function recordTcp(passage: TcpPassage, recorders: readonly Recorder[]): void {
  const endedAt = performance.now();
  for (const recorder of recorders) recorder.recordTcp?.(passage, endedAt);
}
