import { randomBytes } from 'node:crypto';
import {
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js';
import type { RelayRequest, RelayResponse } from '#proto/gen/lateral/v1/observation.ts';
import type { TapRequest, TapResponse } from '#proto/gen/lateral/v1/operations.ts';
import type { SidecarRegistry, SidecarStatus } from '../discovery/sidecar-registry.ts';
import type { EventLog } from '../event-log.ts';
import type { CallerProofs } from '../grpc/caller-proofs.ts';
import { asRefusal, CallRefusal } from '../grpc/refuse-call.ts';
import type { TokenStore } from '../tokens/token-store.ts';
import { proveOperator } from './operator-proof.ts';

/** Operators that look on through one control plane at a time, and sidecars that each looks on at. */
export const MAX_RELAYED_TAPS = 16;
export const MAX_TAPPED_SIDECARS = 20;
/** A sidecar that has not answered its order by then is given up. */
const ANSWER_TIMEOUT_MS = 5_000;
const MAX_QUERY_LENGTH = 1_024;

export interface TapRelayOptions {
  readonly tokens: TokenStore | undefined;
  readonly registry: SidecarRegistry;
  readonly log: EventLog;
  readonly callers: CallerProofs;
}

export interface TapRelay {
  /** `Operations.Tap`: asks the sidecars, and hands on what they send. */
  readonly tap: handleServerStreamingCall<TapRequest, TapResponse>;
  /** `Observation.Relay`: what a sidecar sends for one of these. */
  readonly relay: handleClientStreamingCall<RelayRequest, RelayResponse>;
}

type Relay = Parameters<TapRelay['relay']>;

/** What one sidecar was ordered to send. */
interface Order {
  /** Who may send it. */
  readonly identity: string;
  accept(...relay: Relay): void;
}

/** Between operators who look on and the sidecars that were asked to show. */
export function tapRelay({ tokens, registry, log, callers }: TapRelayOptions): TapRelay {
  const orders = new Map<string, Order>();
  let taps = 0;

  /** Orders it of one sidecar; returns the function that ends it. `onEnd` is called once, also by that. */
  function order(
    sidecar: SidecarStatus,
    query: string,
    call: ServerWritableStream<TapRequest, TapResponse>,
    index: number,
    onEnd: () => void,
  ) {
    const tapId = randomBytes(16).toString('hex');
    let answer: (() => void) | undefined;
    let hasEnded = false;
    const end = () => {
      if (hasEnded) return;
      hasEnded = true;
      clearTimeout(timer);
      orders.delete(tapId);
      answer?.();
      call.write({ sidecars: [], sidecar: index, lines: Buffer.alloc(0), hasEnded: true });
      onEnd();
    };
    const timer = setTimeout(() => {
      const reason = 'it does not answer; is it of an older version?';
      const lines = Buffer.from(`${JSON.stringify({ event: 'tap_refused', reason })}\n`);
      call.write({ sidecars: [], sidecar: index, lines, hasEnded: false });
      end();
    }, ANSWER_TIMEOUT_MS);
    orders.set(tapId, {
      identity: sidecar.identity,
      accept(relayed, callback) {
        clearTimeout(timer);
        orders.delete(tapId);
        answer = () => callback(null, {});
        relayed.on('data', ({ lines }: RelayRequest) => {
          if (hasEnded || lines.length === 0) return;
          if (call.write({ sidecars: [], sidecar: index, lines: Buffer.from(lines), hasEnded: false })) return;
          relayed.pause();
          call.once('drain', () => relayed.resume());
        });
        relayed.on('end', end);
        relayed.on('error', end);
        relayed.on('cancelled', end);
      },
    });
    sidecar.orderTap({ tapId, query });
    return end;
  }

  async function begin(call: ServerWritableStream<TapRequest, TapResponse>): Promise<void> {
    await proveOperator(tokens, call.metadata);
    const { query } = call.request;
    if (query.length > MAX_QUERY_LENGTH) throw new CallRefusal(status.INVALID_ARGUMENT, 'the query is too long');
    const sidecars = chosen(registry.sidecars, call.request);
    if (taps >= MAX_RELAYED_TAPS) {
      throw new CallRefusal(
        status.RESOURCE_EXHAUSTED,
        `${MAX_RELAYED_TAPS} operators look on already; try again later`,
      );
    }
    taps++;
    call.write({
      sidecars: sidecars.map(({ workload }) => workload.name),
      sidecar: 0,
      lines: Buffer.alloc(0),
      hasEnded: false,
    });
    let open = sidecars.length;
    const onEnd = () => {
      open--;
      if (open > 0) return;
      taps--;
      call.end();
    };
    const ends = sidecars.map((sidecar, index) => order(sidecar, query, call, index, onEnd));
    const endAll = () => {
      for (const end of ends) end();
    };
    call.on('cancelled', endAll);
    if (call.cancelled) endAll();
  }

  return {
    tap(call) {
      call.on('error', () => {}); // who went away has seen enough
      begin(call).catch((error: unknown) => {
        const refusal = asRefusal(error, (cause) => log('operation_failed', { error: String(cause) }));
        log('operation_refused', { peer: call.getPeer(), method: call.getPath(), reason: refusal.details });
        call.emit('error', refusal);
      });
    },
    relay(call, callback) {
      call.on('error', () => {});
      try {
        const caller = callers.of(call);
        if (caller === undefined) throw new CallRefusal(status.UNAUTHENTICATED, 'a certificate of this mesh is needed');
        call.once('data', ({ tapId }: RelayRequest) => {
          const wanted = orders.get(tapId);
          if (wanted?.identity === caller.identity.uri) wanted.accept(call, callback);
          else callback(new CallRefusal(status.NOT_FOUND, 'nobody looks on by this order (any more)'));
        });
      } catch (error) {
        callback(asRefusal(error, (cause) => log('relay_failed', { error: String(cause) })));
      }
    },
  };
}

function chosen(
  sidecars: readonly SidecarStatus[],
  { namespace, workload: name }: TapRequest,
): readonly SidecarStatus[] {
  const ofNamespace = sidecars.filter(({ workload }) => workload.namespace === namespace);
  const found = ofNamespace.filter(
    ({ workload }) =>
      name === '' || workload.name === name || workload.serviceAccount === name || workload.labels.app === name,
  );
  if (found.length === 0) {
    const names = ofNamespace.slice(0, 10).map(({ workload }) => workload.name);
    const there = names.length === 0 ? 'none of that namespace is' : `there are ${names.join(', ')}`;
    throw new CallRefusal(
      status.NOT_FOUND,
      `no sidecar of ${namespace}${name === '' ? '' : `/${name}`} is connected; ${there}`,
    );
  }
  if (found.length <= MAX_TAPPED_SIDECARS) return found;
  throw new CallRefusal(
    status.RESOURCE_EXHAUSTED,
    `${found.length} sidecars are connected, and ${MAX_TAPPED_SIDECARS} can be tapped; name one of them`,
  );
}
