import type { Socket } from 'node:net';
import type { Lane } from './lane.ts';

/**
 * Who begins mutual TLS on a port that is DISABLE is held for so long: it may have heard before this sidecar that the port is
 * DISABLE no more. Shorter than a caller waits for a connection.
 */
export const HANDSHAKE_HELD_MS = 2_000;
const LOOK_INTERVAL_MS = 50;

/** Calls back once, unless the caller leaves: with true as soon as the lane speaks TLS, with false when it did not in time. */
export function holdHandshake(lane: Lane, socket: Socket, callback: (isSpoken: boolean) => void): void {
  const deadline = performance.now() + HANDSHAKE_HELD_MS;
  const timer = setInterval(() => {
    const isSpoken = lane.mode() !== 'DISABLE';
    if (isSpoken || performance.now() >= deadline) end(isSpoken);
  }, LOOK_INTERVAL_MS);
  const leave = () => clearInterval(timer);
  const fail = () => socket.destroy();
  const end = (isSpoken: boolean) => {
    leave();
    socket.off('close', leave);
    socket.off('error', fail);
    callback(isSpoken);
  };
  socket.on('close', leave);
  socket.on('error', fail);
}
