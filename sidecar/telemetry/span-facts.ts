import type { Exchange } from '../exchange/exchange.ts';
import type { TraceContext } from './trace-context.ts';

/** What the two spans of an exchange are made of: plain data, which can be sent between threads. Times are monotonic. */
export interface SpanFacts {
  readonly trace: TraceContext;
  /** Milliseconds since the epoch; the same moment as `startedAt`. */
  readonly startedAtMs: number;
  readonly startedAt: number;
  /** 0: nothing was sent on. */
  readonly sentAt: number;
  readonly endedAt: number;
  readonly direction: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly route: string | undefined;
  readonly status: number;
  readonly source: string;
  readonly destination: string;
  readonly port: number;
  readonly callerAddress: string;
  readonly decision: string;
  readonly decisionId: string;
  /** `allowed`, or why not. */
  readonly code: string;
  readonly reason: string;
  readonly policyName: string | undefined;
  readonly rule: number | undefined;
  readonly providers: string | undefined;
  readonly stageNames: readonly string[];
  readonly stageStarts: readonly number[];
}

/** The facts of an exchange that has ended. */
export function spanFactsOf(exchange: Exchange, endedAt: number): SpanFacts {
  const { trace, startedAtMs, startedAt, sentAt, direction, route, status, port } = exchange;
  const { decision, decisionId, code, reason, policyName, rule, providers, stageNames, stageStarts, server } = exchange;
  return {
    trace,
    startedAtMs,
    startedAt,
    sentAt,
    endedAt,
    direction,
    method: server.head.method,
    host: exchange.host ?? '',
    path: exchange.path ?? '',
    route,
    status,
    source: exchange.source?.uri ?? '',
    destination: exchange.destination ?? '',
    port,
    callerAddress: server.caller.address,
    decision,
    decisionId,
    code,
    reason,
    policyName,
    rule,
    providers,
    stageNames,
    stageStarts,
  };
}
