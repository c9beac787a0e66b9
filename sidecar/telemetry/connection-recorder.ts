import { codeEntry } from '#policy/error/codes.ts';
import type { Refusal } from '#policy/error/refusal.ts';
import type { Direction } from '../exchange/passage.ts';
import type { Recorder } from '../exchange/record.ts';
import type { Caller } from '../http/message.ts';
import type { LogWriter } from './log-writer.ts';
import type { Metrics } from './metrics.ts';

/** Records what never became a request: refused connections, bytes that are not HTTP. */
export class ConnectionRecorder {
  readonly #metrics: Metrics;
  readonly #log: LogWriter | undefined;
  readonly #recorders: readonly Recorder[];
  readonly #ownIdentity: string;

  constructor(metrics: Metrics, log: LogWriter | undefined, recorders: readonly Recorder[], ownIdentity: string) {
    this.#metrics = metrics;
    this.#log = log;
    this.#recorders = recorders;
    this.#ownIdentity = ownIdentity;
  }

  recordUnreadable(direction: Direction, decisionId: string, caller: Caller, refusal: Refusal, port: number): void {
    this.#metrics.recordRefusedConnection(direction, refusal.code);
    const timeMs = Date.now();
    const { code, reason } = refusal;
    const { status } = codeEntry(code);
    const source = caller.certificate?.identity.uri;
    const destination = direction === 'inbound' ? this.#ownIdentity : '';
    const decision = { decisionId, timeMs, direction, decision: 'deny', code, ...NO_REQUEST, status };
    for (const recorder of this.#recorders) {
      recorder.recordConnection?.({ ...decision, source: source ?? '', sourceIp: caller.address, destination, reason });
    }
    const line = {
      time: new Date(timeMs).toISOString(),
      direction,
      decision: 'deny',
      decisionId,
      code,
      method: null,
      host: null,
      path: null,
      status,
      source: source ?? null,
      destination,
      port,
      sourceIp: caller.address,
      bytesIn: 0,
      bytesOut: 0,
      durationMs: 0,
      traceId: null,
      stages: {},
      inputs: {},
      reason,
    };
    this.#log?.write(`${JSON.stringify(line)}\n`);
  }
}

/** What the decision about a connection has none of. */
const NO_REQUEST = { method: '', host: '', path: '', policy: '', rule: -1, traceId: '' } as const;
