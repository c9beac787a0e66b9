import type { Writable } from 'node:stream';
import type { DecisionRing } from '../telemetry/decision-ring.ts';
import { readTapRequest } from '../telemetry/tap-request.ts';
import { MAX_TAPS, type TappedLog } from '../telemetry/tapped-log.ts';
import { json, type Routes, text } from './local-server.ts';

/**
 * `GET /tap`: lines of the access log as they are made, `tap_began` before and `tap_ended` behind them; HEAD is none.
 * `GET /decisions`: what was refused, or would have been, of late.
 */
export function observationRoutes(log: TappedLog, ring: DecisionRing): Routes {
  return {
    'GET /decisions': () => json(200, { decisions: ring.decisions }),
    'GET /tap': (query) => {
      const request = readTapRequest(query);
      if (typeof request === 'string') return text(400, request);
      const body = (out: Writable) => {
        if (!log.open(request, out)) out.end();
      };
      if (!log.hasRoom) return text(429, `${MAX_TAPS} taps are open already; try again when one of them has ended`);
      return { status: 200, contentType: 'application/x-ndjson', body };
    },
  };
}
