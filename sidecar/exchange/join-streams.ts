import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import type { Passage } from './passage.ts';

/**
 * Joins two connections byte for byte: the end of one side is passed on and the other direction goes on; nothing is
 * read that the other side does not take. Resolves when both have ended; rejects with client_gone or
 * upstream_unavailable when one breaks off, or with what the passage is given up for: then both are broken off.
 * `first`: bytes of the caller that were read before. `inspect` sees its bytes before they go on; what it throws ends both.
 */
export function joinStreams(
  passage: Passage,
  caller: Duplex,
  upstream: Duplex,
  { first, inspect }: { readonly first?: Buffer; readonly inspect?: ((chunk: Buffer) => void) | undefined } = {},
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let open = 2;
  const breakOff = (error: unknown) => {
    abort(caller);
    abort(upstream);
    reject(passage.givenUp ?? error);
  };
  const pass = (from: Duplex, to: Duplex, take: (chunk: Buffer) => void, broken: (why: string) => Refusal) => {
    let hasEnded = false;
    const sawData = (chunk: Buffer) => {
      passage.progressedAt = performance.now();
      try {
        take(chunk);
      } catch (error) {
        breakOff(error);
        return;
      }
      if (!to.write(chunk)) from.pause();
    };
    const sawEnd = () => {
      hasEnded = true;
      passage.progressedAt = performance.now();
      to.end();
    };
    from.on('data', sawData);
    to.on('drain', () => {
      passage.progressedAt = performance.now();
      from.resume();
    });
    from.on('error', (error) => breakOff(broken(error.message)));
    from.on('close', () => {
      if (!hasEnded) breakOff(broken('it closed without an end'));
      else if (--open === 0) resolve();
    });
    from.resume();
    if (from === caller && first !== undefined && first.length > 0) sawData(first);
    if (from.readableEnded) sawEnd();
    else from.on('end', sawEnd);
  };
  const countIn = (chunk: Buffer) => {
    inspect?.(chunk);
    passage.bytesIn += chunk.length;
  };
  const countOut = (chunk: Buffer) => {
    passage.bytesOut += chunk.length;
  };
  passage.onGivenUp = breakOff;
  if (passage.givenUp !== undefined) breakOff(passage.givenUp);
  pass(caller, upstream, countIn, (why) => new Refusal('client_gone', `the caller's connection broke off: ${why}`));
  pass(upstream, caller, countOut, (why) => new Refusal('upstream_unavailable', `the connection broke off: ${why}`));
  return promise;
}

/** Where the end of a connection would look like the end of what was said, it is reset. */
function abort(stream: Duplex): void {
  if (stream instanceof Socket && !(stream instanceof TLSSocket) && !stream.destroyed) stream.resetAndDestroy();
  else stream.destroy();
}
