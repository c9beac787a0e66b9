import type { Server } from 'node:net';
import { admitConnections } from './admit-connections.ts';
import { ConnectionCrowd, type CrowdLimits } from './connection-crowd.ts';
import { plainAddress } from './plain-address.ts';

/** Bounds the connections of a server without TLS, by address and in all. */
export function limitConnections(server: Server, limits: CrowdLimits): void {
  const crowd = new ConnectionCrowd(limits);
  admitConnections(server, (socket) => {
    const address = plainAddress(socket.remoteAddress ?? '');
    const guest = { end: () => socket.destroy() };
    if (crowd.enter(address, guest) !== 'entered') return false;
    socket.once('close', () => crowd.leave(address, guest));
    return true;
  });
}
