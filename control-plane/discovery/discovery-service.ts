import { type handleBidiStreamingCall, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { HEARTBEAT_INTERVAL_MS, MAX_MISSED_HEARTBEATS } from '#proto/discovery-limits.ts';
import type { SubscribeRequest, SubscribeResponse } from '#proto/gen/lateral/v1/discovery.ts';
import type { CallerProofs } from '../grpc/caller-proofs.ts';
import { asRefusal, CallRefusal } from '../grpc/refuse-call.ts';
import { type DiscoveryContext, SidecarStream } from './sidecar-stream.ts';
import { SubscriptionPlaces } from './subscription-places.ts';
import { UpdateTurns } from './update-turns.ts';

type Stream = ServerDuplexStream<SubscribeRequest, SubscribeResponse>;

export interface DiscoveryOptions extends Omit<DiscoveryContext, 'monotonicNow'> {
  /** Default performance.now. */
  readonly monotonicNow?: () => number;
  /** Default HEARTBEAT_INTERVAL_MS. */
  readonly heartbeatIntervalMs?: number;
  readonly callers: CallerProofs;
}

export interface DiscoveryHandler {
  readonly subscribe: handleBidiStreamingCall<SubscribeRequest, SubscribeResponse>;
  /** Ends every subscription with UNAVAILABLE: the sidecars come back by themselves. */
  close(): void;
}

/** `Discovery.Subscribe`: policies for the identity that the caller's certificate proves, as they change. */
export function discoveryService(options: DiscoveryOptions): DiscoveryHandler {
  const { metrics, log, callers, heartbeatIntervalMs = HEARTBEAT_INTERVAL_MS } = options;
  const { monotonicNow = () => performance.now() } = options;
  const context: DiscoveryContext = { ...options, monotonicNow };
  const streams = new Map<Stream, SidecarStream>();
  const turns = new UpdateTurns(monotonicNow);
  const places = new SubscriptionPlaces(metrics.places, monotonicNow);

  const end = (call: Stream, refusal: CallRefusal): void => {
    const stream = streams.get(call);
    if (stream === undefined) return;
    streams.delete(call);
    stream.close();
    log('sidecar_disconnected', { ...stream.facts(), reason: refusal.details });
    call.emit('error', refusal);
  };

  const attempt = (call: Stream, step: (stream: SidecarStream) => void): void => {
    const stream = streams.get(call);
    if (stream === undefined) return;
    try {
      step(stream);
    } catch (error) {
      const refusal = asRefusal(error, (cause) => log('discovery_failed', { error: String(cause) }));
      metrics.subscriptionRefusals++;
      end(call, refusal);
    }
  };

  // One timer for all: heartbeats, silence, and certificates that end while their stream goes on.
  const silenceLimitMs = heartbeatIntervalMs * MAX_MISSED_HEARTBEATS;
  const sweep = setInterval(() => {
    for (const call of [...streams.keys()]) attempt(call, (stream) => stream.beat(silenceLimitMs));
  }, heartbeatIntervalMs);
  sweep.unref();

  return {
    subscribe(call) {
      const gone = (reason: string) => {
        const stream = streams.get(call);
        if (stream === undefined) return;
        streams.delete(call);
        stream.close();
        log('sidecar_disconnected', { ...stream.facts(), reason });
      };
      call.on('data', (request) => attempt(call, (stream) => stream.receive(request)));
      call.on('end', () => {
        gone('the sidecar ended its stream');
        call.end();
      });
      call.on('cancelled', () => gone('the connection ended'));
      call.on('error', () => gone('the connection failed'));
      try {
        const caller = callers.of(call);
        if (caller === undefined) {
          throw new CallRefusal(
            status.UNAUTHENTICATED,
            'a certificate of this mesh is needed; ask Authority.Sign first',
          );
        }
        const place = places.open(caller.identity.uri);
        streams.set(call, new SidecarStream(caller, call, context, { turns, place }, (step) => attempt(call, step)));
      } catch (error) {
        const refusal = asRefusal(error, (cause) => log('discovery_failed', { error: String(cause) }));
        metrics.subscriptionRefusals++;
        log('subscription_refused', { peer: call.getPeer(), reason: refusal.details });
        call.emit('error', refusal);
      }
    },
    close() {
      clearInterval(sweep);
      for (const call of [...streams.keys()]) end(call, new CallRefusal(status.UNAVAILABLE, 'the control plane ends'));
    },
  };
}
