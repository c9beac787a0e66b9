import { codeEntry } from '#policy/error/codes.ts';
import type { Refusal } from '#policy/error/refusal.ts';
import type { Direction } from '../exchange/passage.ts';
import type { Caller } from '../http/message.ts';
import type { LogWriter } from './log-writer.ts';
import type { Metrics } from './metrics.ts';

/** Records what never became a request: refused connections, bytes that are not HTTP. */
export class ConnectionRecorder {
  readonly #metrics: Metrics;
  readonly #log: LogWriter | undefined;
  readonly #ownIdentity: string;

  constructor(metrics: Metrics, log: LogWriter | undefined, ownIdentity: string) {
    this.#metrics = metrics;
    this.#log = log;
    this.#ownIdentity = ownIdentity;
  }

  recordUnreadable(direction: Direction, decisionId: string, caller: Caller, refusal: Refusal, port: number): void {
    this.#metrics.recordRefusedConnection(refusal.code);
    const line = {
      time: new Date().toISOString(),
      direction,
      decision: 'deny',
      decisionId,
      code: refusal.code,
      method: null,
      host: null,
      path: null,
      status: codeEntry(refusal.code).status,
      source: caller.certificate?.identity.uri ?? null,
      destination: direction === 'inbound' ? this.#ownIdentity : '',
      port,
      sourceIp: caller.address,
      bytesIn: 0,
      bytesOut: 0,
      durationMs: 0,
      traceId: null,
      stages: {},
      inputs: {},
      reason: refusal.reason,
    };
    this.#log?.write(`${JSON.stringify(line)}\n`);
  }
}
