import { randomHex } from '../exchange/random-hex.ts';
import { answerOf } from '../exchange/refuse.ts';
import { Listener } from '../listener/listener.ts';
import { logEvent } from '../operational-log.ts';
import type { ConnectionRecorder } from '../telemetry/connection-recorder.ts';
import { type Outbound, serveOutbound } from './outbound.ts';

/** The listener for the app's own calls: plaintext on loopback, then the outbound pipeline. */
export function outboundListener(outbound: Outbound, refusals: ConnectionRecorder): Listener {
  return new Listener({
    onRequest: (request) => {
      serveOutbound(request, outbound).catch((error: unknown) => logEvent('pipeline_failed', { error: String(error) }));
    },
    onUnreadable: (caller, refusal) => {
      const decisionId = randomHex(8);
      refusals.recordUnreadable('outbound', decisionId, caller, refusal, 0);
      return answerOf(refusal, decisionId, false);
    },
  });
}
