import { randomHex } from '../exchange/random-hex.ts';
import { answerOf } from '../exchange/refuse.ts';
import { Http1Server } from '../http/h1/server.ts';
import type { TlsContexts } from '../identity/tls-contexts.ts';
import { logEvent } from '../operational-log.ts';
import type { ConnectionRecorder } from '../telemetry/connection-recorder.ts';
import { acceptConnection } from './accept-connection.ts';
import { type Inbound, serveInbound } from './inbound.ts';

/** A listener for other workloads: TLS 1.3 with a client certificate, then the inbound pipeline. */
export function inboundListener(
  inbound: Inbound,
  contexts: TlsContexts,
  trustDomain: string,
  refusals: ConnectionRecorder,
): Http1Server {
  return new Http1Server(
    {
      onRequest: (request) => {
        serveInbound(request, inbound).catch((error: unknown) => logEvent('pipeline_failed', { error: String(error) }));
      },
      onUnreadable: (caller, refusal) => {
        const decisionId = randomHex(8);
        refusals.recordUnreadable('inbound', decisionId, caller, refusal, inbound.app.port);
        return answerOf(refusal, decisionId, false);
      },
      verify: (socket) => acceptConnection(socket, trustDomain),
      onRefusedConnection: (address, refusal) => {
        refusals.recordUnreadable(
          'inbound',
          randomHex(8),
          { address, port: 0, certificate: undefined },
          refusal,
          inbound.app.port,
        );
      },
    },
    contexts.server(),
  );
}
