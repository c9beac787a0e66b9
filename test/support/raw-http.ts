import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TestLeaf } from './certificates.ts';

/** Sends bytes as they are and collects what comes until the other side closes, or `idleMs` pass without a byte. */
export function exchangeBytes(port: number, bytes: string | Buffer, idleMs = 500): Promise<string> {
  return collect(connect(port, '127.0.0.1'), 'connect', bytes, idleMs);
}

/** The same over TLS, with or without a certificate. */
export function exchangeBytesOverTls(
  port: number,
  bytes: string,
  leaf: TestLeaf | undefined,
  idleMs = 500,
): Promise<string> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...leaf });
  return collect(socket, 'secureConnect', bytes, idleMs);
}

function collect(
  socket: ReturnType<typeof connect>,
  event: string,
  bytes: string | Buffer,
  idleMs: number,
): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    socket.once(event, () => socket.write(bytes));
  });
}
