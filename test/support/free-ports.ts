import { type AddressInfo, createServer, type Server } from 'node:net';

/**
 * Below the ports that the system gives away by itself: between two programs of a test nothing else can come to sit on one. Each
 * process begins elsewhere, since tests run side by side.
 */
const FIRST_PORT = 10_000;
const PORTS = 22_000;
const PORTS_EACH = 100;

let taken = process.pid * PORTS_EACH;

/** `count` different ports that nothing listens on. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > PORTS) throw new Error('no free port');
    const port = FIRST_PORT + (taken++ % PORTS);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Listens on a free loopback port. */
export function listen<S extends Server>(server: S): Promise<S> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

export function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('not listening');
  return address.port;
}
