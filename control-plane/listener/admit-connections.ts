import type { Server, Socket } from 'node:net';

/** What is not admitted is closed; the listeners by which the server itself begins see only what is. */
export function admitConnections(server: Server, admits: (socket: Socket) => boolean): void {
  const begin = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket) => {
    if (admits(socket)) for (const listener of begin) listener.call(server, socket);
    else socket.destroy();
  });
}
