import net from 'node:net';

/** Resolves once a connection is open, and closes it; rejects where there is none. */
export function probeTcp(address: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: address, port });
    const giveUp = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener('abort', giveUp, { once: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      signal.removeEventListener('abort', giveUp);
      socket.destroy();
      resolve();
    });
  });
}
