import { randomHex } from '../exchange/random-hex.ts';
import { answerOf } from '../exchange/refuse.ts';
import type { TlsContexts } from '../identity/tls-contexts.ts';
import type { ChooseLane, Lane } from '../listener/lane.ts';
import { Listener } from '../listener/listener.ts';
import type { PortProtocol } from '../listener/questions.ts';
import { logEvent } from '../operational-log.ts';
import type { ConnectionRecorder } from '../telemetry/connection-recorder.ts';
import type { PlaintextCallers } from '../telemetry/plaintext-callers.ts';
import { type Inbound, serveInbound } from './inbound.ts';
import { serveInboundTcp } from './inbound-tcp.ts';

/** What the app behind a port speaks, as it is declared; gRPC is HTTP that the app takes over HTTP/2 alone. */
export type AppProtocol = PortProtocol | 'grpc';

/** What one lane works with. */
export interface InboundApp extends Inbound {
  /** Counts who comes without an identity. */
  readonly plaintext: PlaintextCallers;
}

/**
 * A listener for other workloads: TLS 1.3 with a client certificate (and plaintext where policy is PERMISSIVE for the
 * app's port, plaintext alone where it is DISABLE), then the pipeline of HTTP or that of TCP.
 */
export function inboundListener(lane: Lane | ChooseLane, contexts: TlsContexts): Listener {
  return new Listener(lane, {
    context: () => contexts.server(),
    ownEndMs: () => contexts.ownEndMs,
    verify: (socket, ownEndMs) => contexts.acceptCaller(socket, ownEndMs),
    onChange: (listener) => contexts.onChange(listener),
  });
}

/** The way of connections to one app. */
export function inboundLane(protocol: AppProtocol, inbound: InboundApp, refusals: ConnectionRecorder): Lane {
  const { port } = inbound.app;
  const plaintext = inbound.plaintext.port(port);
  const failed = (error: unknown) => logEvent('pipeline_failed', { error: String(error) });
  return {
    protocol: protocol === 'grpc' ? 'http' : protocol,
    mode: () => inbound.policy().mtlsMode(port),
    onPlaintext: (address) => plaintext.connection(address),
    onRequest: (request) => {
      const { caller } = request;
      if (caller.certificate === undefined) plaintext.request(caller.address);
      serveInbound(request, inbound).catch(failed);
    },
    onUnreadable: (caller, refusal) => {
      const decisionId = randomHex(8);
      refusals.recordUnreadable('inbound', decisionId, caller, refusal, port);
      return answerOf(refusal, decisionId, false);
    },
    onTcp: (connection) => {
      serveInboundTcp(connection, inbound).catch((error: unknown) => {
        connection.socket.destroy();
        failed(error);
      });
    },
    onRefusedConnection: (address, refusal) => {
      const caller = { address, port: 0, certificate: undefined };
      refusals.recordUnreadable('inbound', randomHex(8), caller, refusal, port);
    },
  };
}
