import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

/** Opens a connection to a small HTTP server that answers to loopback names; rejects with a sentence. */
export type Dial = () => Promise<Duplex>;

const CONNECT_TIMEOUT_MS = 5_000;

/** Dials a port of this machine. */
export function loopbackPort(port: number): Dial {
  return () =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port });
      const fail = (why: string) => {
        socket.destroy();
        reject(new Error(why));
      };
      const timer = setTimeout(() => fail(`127.0.0.1:${port} does not answer`), CONNECT_TIMEOUT_MS);
      socket.once('connect', () => {
        clearTimeout(timer);
        resolve(socket);
      });
      socket.once('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        fail(
          error.code === 'ECONNREFUSED'
            ? `nothing listens on 127.0.0.1:${port}; the admin port is in the ready line of the sidecar`
            : error.message,
        );
      });
    });
}
