import type { Socket } from 'node:net';
import { Refusal } from '#policy/error/refusal.ts';
import { refusalOf } from '../exchange/forward.ts';
import type { ConnectedTcp, PermittedTcp } from '../exchange/tcp-passage.ts';
import { dial } from '../http/dial.ts';
import type { AppTarget } from './route.ts';

/**
 * Reaches the app, before the caller has said anything: servers may speak first. Refuses: upstream_unavailable,
 * client_gone, and whatever gives the passage up meanwhile.
 */
export async function connectApp(passage: PermittedTcp, { address, port }: AppTarget): Promise<ConnectedTcp> {
  passage.enter('connect');
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const { socket: caller } = passage.connection;
  const left = () => passage.giveUp(new Refusal('client_gone', 'the caller closed the connection'));
  caller.once('close', left);
  passage.onGivenUp = reject;
  if (passage.givenUp !== undefined) throw passage.givenUp;
  dial(address, port, undefined, (error, socket) => {
    if (socket === null) reject(refusalOf(error));
    else if (passage.givenUp === undefined) resolve(socket);
    else socket.destroy();
  });
  const app = await promise;
  caller.off('close', left); // from here on its end is one of two
  return Object.assign(passage, { app });
}
