import net from 'node:net';

/**
 * Rejects where anybody listens on the port. Workers share theirs (SO_REUSEPORT), and so would another sidecar with
 * workers: each would get part of the other's connections, and nobody would notice.
 */
export function claimPort(port: number, address: string): Promise<void> {
  const server = net.createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: address, ipv6Only: address.includes(':') }, () => server.close(() => resolve()));
  });
}
