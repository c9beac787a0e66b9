import { randomHex } from '../exchange/random-hex.ts';
import { answerOf } from '../exchange/refuse.ts';
import type { OriginalDestination, ReadOriginalDestination } from '../interception/original-destination.ts';
import { type Lane, plainHttpLane, type RequestHandlers } from '../listener/lane.ts';
import { Listener } from '../listener/listener.ts';
import { logEvent } from '../operational-log.ts';
import type { ConnectionRecorder } from '../telemetry/connection-recorder.ts';
import { type Outbound, serveOutbound } from './outbound.ts';
import { serveOutboundTcp } from './outbound-tcp.ts';

/**
 * The listener for the app's own calls: plaintext, then the outbound pipeline. With `read` its connections were redirected: what is
 * no HTTP goes by the pipeline of TCP, and where a connection was going says what it speaks, if a service declares it.
 */
export function outboundListener(
  outbound: Outbound,
  refusals: ConnectionRecorder,
  read: ReadOriginalDestination | undefined,
): Listener {
  if (read === undefined) return new Listener(plainHttpLane(requestHandlers(outbound, refusals, undefined)));
  return new Listener((socket) => redirectedLane(outbound, refusals, read(socket)));
}

function redirectedLane(
  outbound: Outbound,
  refusals: ConnectionRecorder,
  redirected: OriginalDestination | undefined,
): Lane {
  const service =
    redirected === undefined
      ? undefined
      : outbound.policy().services.resolveAddress(redirected.address, redirected.port);
  const { protocol = 'auto' } = service ?? {};
  return {
    ...plainHttpLane(requestHandlers(outbound, refusals, redirected)),
    protocol: protocol === 'grpc' ? 'http' : protocol,
    onTcp: ({ socket, caller, firstBytes }) => {
      // nothing was decided by what it speaks: what comes late is not held against it
      const connection = { socket, caller, firstBytes, isOtherProtocol: undefined };
      serveOutboundTcp(connection, outbound, redirected).catch((error: unknown) => {
        socket.destroy();
        failed(error);
      });
    },
  };
}

function requestHandlers(
  outbound: Outbound,
  refusals: ConnectionRecorder,
  redirected: OriginalDestination | undefined,
): RequestHandlers {
  return {
    onRequest: (request) => {
      serveOutbound(request, outbound, redirected).catch(failed);
    },
    onUnreadable: (caller, refusal) => {
      const decisionId = randomHex(8);
      refusals.recordUnreadable('outbound', decisionId, caller, refusal, redirected?.port ?? 0);
      return answerOf(refusal, decisionId, false);
    },
  };
}

function failed(error: unknown): void {
  logEvent('pipeline_failed', { error: String(error) });
}
