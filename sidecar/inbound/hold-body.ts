import { Refusal } from '#policy/error/refusal.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { type BufferedBody, bufferBody } from '../http/buffered-body.ts';
import type { IncomingBody } from '../http/message.ts';
import { shareOf } from '../workers/thread-share.ts';

/** Bytes of request bodies in memory at once, all exchanges of this thread together; beyond it: overloaded. */
export const MAX_BUFFERED_BYTES = shareOf(64 * 1024 * 1024);

/** A body that is held in memory has come by then: a caller that dribbles must not keep memory from others. */
export const BUFFERED_BODY_TIMEOUT_MS = 60_000;

let reservedBytes = 0;

/**
 * Waits for the body, up to `maxBytes` of it, and gives it to `use`; the memory is accounted for until that is done. Refuses:
 * overloaded, request_timeout.
 */
export async function holdBody<T>(
  exchange: Exchange,
  body: IncomingBody,
  maxBytes: number,
  use: (held: BufferedBody) => T | Promise<T>,
): Promise<T> {
  const reservation = Math.min(body.declaredLength ?? maxBytes, maxBytes);
  if (reservedBytes + reservation > MAX_BUFFERED_BYTES) {
    throw new Refusal('overloaded', `bodies in memory exceed maxBufferedBytes ${MAX_BUFFERED_BYTES}`);
  }
  reservedBytes += reservation;
  try {
    exchange.waitFor('caller-body');
    const startedAt = performance.now();
    const buffering = bufferBody(body, maxBytes, () => {
      if (performance.now() - startedAt > BUFFERED_BODY_TIMEOUT_MS) buffering.fail(tooSlow());
      else exchange.waitFor('caller-body');
    });
    exchange.onGivenUp = (refusal) => buffering.fail(refusal);
    const held = await buffering.result;
    exchange.onGivenUp = undefined;
    return await use(held);
  } finally {
    reservedBytes -= reservation;
    exchange.onGivenUp = undefined;
  }
}

function tooSlow(): Refusal {
  return new Refusal(
    'request_timeout',
    `the body did not come within bufferedBodyTimeoutMs ${BUFFERED_BODY_TIMEOUT_MS}`,
  );
}
