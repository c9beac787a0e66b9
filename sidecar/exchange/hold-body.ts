import { Refusal } from '#policy/error/refusal.ts';
import { type BufferedBody, bufferBody } from '../http/buffered-body.ts';
import type { IncomingBody } from '../http/message.ts';
import { shareOf } from '../workers/thread-share.ts';
import type { Exchange } from './exchange.ts';

/** Bytes of bodies in memory at once, of requests and responses, all exchanges of this thread together; beyond it: overloaded. */
export const MAX_BUFFERED_BYTES = shareOf(64 * 1024 * 1024);

/** A body that is held in memory has come by then: a sender that dribbles must not keep memory from others. */
export const BUFFERED_BODY_TIMEOUT_MS = 60_000;

const NOTHING = Buffer.alloc(0);

let reservedBytes = 0;

/** Whose body is held. */
export type BodySender = 'caller' | 'upstream';

/** Takes so many bytes of the memory for bodies; false: there are not as many. Given back by `releaseBytes`. */
export function reserveBytes(bytes: number): boolean {
  if (reservedBytes + bytes > MAX_BUFFERED_BYTES) return false;
  reservedBytes += bytes;
  return true;
}

export function releaseBytes(bytes: number): void {
  reservedBytes -= bytes;
}

/** What is in use now of MAX_BUFFERED_BYTES. */
export function heldBytes(): number {
  return reservedBytes;
}

/**
 * Waits for the body, up to `maxBytes` of it, and gives it to `use`; the memory is accounted for until that is done. Refuses:
 * overloaded, request_timeout, upstream_timeout; with `mayRefuse` false `use` gets the body in these cases as well, to be passed on.
 */
export async function holdBody<T>(
  exchange: Exchange,
  body: IncomingBody,
  maxBytes: number,
  sender: BodySender,
  use: (held: BufferedBody) => T | Promise<T>,
  mayRefuse = true,
): Promise<T> {
  const reservation = Math.min(body.declaredLength ?? maxBytes, maxBytes);
  if (!reserveBytes(reservation)) {
    if (!mayRefuse) return use({ isWhole: false, why: 'no-room', size: 0, body, read: () => NOTHING });
    throw new Refusal('overloaded', `bodies in memory exceed maxBufferedBytes ${MAX_BUFFERED_BYTES}`);
  }
  const waitingFor = sender === 'caller' ? 'caller-body' : 'upstream-body';
  try {
    exchange.waitFor(waitingFor);
    const startedAt = performance.now();
    const buffering = bufferBody(body, maxBytes, () => {
      exchange.waitFor(waitingFor);
      if (performance.now() - startedAt <= BUFFERED_BODY_TIMEOUT_MS) return;
      if (mayRefuse) buffering.fail(tooSlow(sender));
      else buffering.letGo();
    });
    exchange.onGivenUp = (refusal) => buffering.fail(refusal);
    const held = await buffering.result;
    exchange.onGivenUp = undefined;
    return await use(held);
  } finally {
    releaseBytes(reservation);
    exchange.onGivenUp = undefined;
  }
}

function tooSlow(sender: BodySender): Refusal {
  return new Refusal(
    sender === 'caller' ? 'request_timeout' : 'upstream_timeout',
    `the body did not come within bufferedBodyTimeoutMs ${BUFFERED_BODY_TIMEOUT_MS}`,
  );
}
