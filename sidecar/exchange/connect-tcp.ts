import type { Socket } from 'node:net';
import { Refusal } from '#policy/error/refusal.ts';
import type { Dialled } from '../http/dial.ts';
import { refusalOf } from './forward.ts';
import type { ConnectedTcp, TcpPassage } from './tcp-passage.ts';

/**
 * Reaches the other side, before the caller has said anything: servers may speak first. Refuses: upstream_unavailable,
 * upstream_identity_mismatch, upstream_certificate_refused, loop_detected, client_gone, and whatever gives the passage up meanwhile.
 */
export async function connectTcp<P extends TcpPassage>(
  passage: P,
  dialTo: (callback: Dialled) => void,
): Promise<P & ConnectedTcp> {
  passage.enter('connect');
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const { socket: caller } = passage.connection;
  const left = () => passage.giveUp(new Refusal('client_gone', 'the caller closed the connection'));
  if (caller.destroyed) left(); // it tells nobody any more
  caller.once('close', left);
  passage.onGivenUp = reject;
  if (passage.givenUp !== undefined) throw passage.givenUp;
  dialTo((error, socket) => {
    if (socket === null) reject(refusalOf(error));
    else if (passage.givenUp === undefined) resolve(socket);
    else socket.destroy();
  });
  try {
    return Object.assign(passage, { upstream: await promise });
  } finally {
    caller.off('close', left); // from here on its end is one of two
  }
}
