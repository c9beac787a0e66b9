import type { Server } from '@grpc/grpc-js';

/**
 * Lets no more bytes of a request come at once, on connections that are yet to come: HTTP/2's window of a stream. grpc-js has an
 * option for it in clients alone; a test tells when it no longer keeps what it starts its sessions with under this name.
 */
export function narrowRequests(server: Server, windowBytes: number): void {
  const options: unknown = Reflect.get(server, 'commonServerOptions');
  if (!isObject(options)) return;
  const settings: unknown = Reflect.get(options, 'settings');
  Reflect.set(options, 'settings', { ...(isObject(settings) ? settings : {}), initialWindowSize: windowBytes });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
