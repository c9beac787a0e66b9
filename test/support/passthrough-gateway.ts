import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { listen, portOf } from './free-ports.ts';

const HANDSHAKE_RECORD = 0x16;
const CLIENT_HELLO = 0x01;
const SERVER_NAME_EXTENSION = 0;
/** A record with a ClientHello is no longer than this; more is no TLS. */
const MAX_HELLO_BYTES = 16_384 + 5;

export interface PassthroughGateway {
  /** `HOST:PORT` at which it listens. */
  readonly address: string;
  /** Names that were asked for; undefined: none was. */
  readonly names: readonly (string | undefined)[];
}

/**
 * A gateway with a TLS listener in mode Passthrough: it reads the server name of the ClientHello and hands the connection on,
 * byte for byte, to the loopback port that its routes have for that name; a name without a route is closed. Ends with the test.
 */
export async function startPassthroughGateway(
  t: Test,
  routes: ReadonlyMap<string, () => number>,
): Promise<PassthroughGateway> {
  const names: (string | undefined)[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    sockets.add(client);
    client.on('error', () => {});
    let hello = Buffer.alloc(0);
    const take = (chunk: Buffer) => {
      hello = Buffer.concat([hello, chunk]);
      if (hello.length < 5 || hello.length < 5 + hello.readUInt16BE(3)) {
        if (hello.length > MAX_HELLO_BYTES) client.destroy();
        return;
      }
      client.off('data', take);
      client.pause();
      const name = serverNameOf(hello);
      names.push(name);
      const port = name === undefined ? undefined : routes.get(name)?.();
      if (port === undefined) return void client.destroy();
      const upstream = connect(port, '127.0.0.1');
      sockets.add(upstream);
      upstream.on('error', () => client.destroy());
      client.on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
      upstream.write(hello);
      client.pipe(upstream).pipe(client);
    };
    client.on('data', take);
  });
  await listen(server);
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { address: `127.0.0.1:${portOf(server)}`, names };
}

/** The server name in a ClientHello (RFC 8446 §4.1.2, RFC 6066 §3); undefined: it names none, or is none. */
function serverNameOf(record: Buffer): string | undefined {
  if (record[0] !== HANDSHAKE_RECORD || record[5] !== CLIENT_HELLO) return undefined;
  let at = 5 + 4 + 2 + 32; // record and handshake headers, version, random
  at += 1 + record.readUInt8(at); // session
  at += 2 + record.readUInt16BE(at); // cipher suites
  at += 1 + record.readUInt8(at); // compression
  const end = at + 2 + record.readUInt16BE(at);
  at += 2;
  while (at + 4 <= end) {
    const type = record.readUInt16BE(at);
    const length = record.readUInt16BE(at + 2);
    // a list of names, of which the first has a type and its own length before it
    if (type === SERVER_NAME_EXTENSION) return record.toString('latin1', at + 9, at + 4 + length);
    at += 4 + length;
  }
  return undefined;
}
