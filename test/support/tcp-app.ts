import net from 'node:net';
import type { Test } from 'tap';
import { listen, portOf } from './free-ports.ts';

/** A TCP app behind a sidecar, half-close allowed; counts its connections. */
export async function tcpApp(
  t: Test,
  serve: (socket: net.Socket) => void,
): Promise<{ port: number; connections: () => number }> {
  let connections = 0;
  const open = new Set<net.Socket>();
  const server = await listen(
    net.createServer({ allowHalfOpen: true }, (socket) => {
      connections++;
      open.add(socket);
      socket.on('error', () => {});
      serve(socket);
    }),
  );
  t.teardown(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return { port: portOf(server), connections: () => connections };
}
