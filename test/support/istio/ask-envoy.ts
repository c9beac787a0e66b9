import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { TestLeaf } from '../certificates.ts';
import { LET_THROUGH } from './envoy-listener.ts';

/** A question to one listener. */
export interface EnvoyRequest {
  readonly port: number;
  /** Of the kernel: in 127.0.0.0/8. */
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly destinationPort: number;
  /** Undefined: plaintext. */
  readonly leaf: TestLeaf | undefined;
  readonly sni: string | undefined;
  /** One character a byte. */
  readonly bytes: string;
  readonly protocol: 'http' | 'tcp';
}

/** `refused`: the listener did not take it for a request that it could judge, with its status. */
export type EnvoyAnswer = 'allow' | 'deny' | `refused ${string}`;

const ANSWER_TIMEOUT_MS = 20_000;
const SOURCE_PORT = 1234;
const DENIED_BODY = 'RBAC: access denied';

/** Asks over a connection of its own. */
export async function askEnvoy(request: EnvoyRequest): Promise<EnvoyAnswer> {
  const plain = connect({ port: request.port, host: '127.0.0.1', localAddress: request.sourceIp });
  const { sourceIp, destinationIp, destinationPort } = request;
  plain.write(`PROXY TCP4 ${sourceIp} ${destinationIp} ${SOURCE_PORT} ${destinationPort}\r\n`);
  const socket = request.leaf === undefined ? plain : overTls(plain, request.leaf, request.sni);
  const text = await answerTo(socket, request);
  if (request.protocol === 'tcp') return text === request.bytes ? 'allow' : 'deny';
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 'without a status';
  if (status === '200' && text.endsWith(LET_THROUGH)) return 'allow';
  return status === '403' && text.endsWith(DENIED_BODY) ? 'deny' : `refused ${status} ${text.split('\r\n\r\n')[1]}`;
}

function overTls(plain: Socket, leaf: TestLeaf, sni: string | undefined): Socket {
  const name: ConnectionOptions = sni === undefined ? {} : { servername: sni };
  return connectTls({ socket: plain, rejectUnauthorized: false, ...leaf, ...name });
}

/** What comes until it is a whole response, or as much as was sent, or the other side ends. */
function answerTo(socket: Socket, { bytes, protocol }: EnvoyRequest): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no answer in ${ANSWER_TIMEOUT_MS} ms to ${bytes}`));
    }, ANSWER_TIMEOUT_MS);
    const isWhole = () => (protocol === 'tcp' ? text.length >= bytes.length : isWholeResponse(text));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (isWhole()) socket.destroy();
    });
    socket.on('error', () => {}); // closing says it
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
    socket.write(bytes, 'latin1');
  });
}

/** So that nobody waits for Envoy to end the connection, which takes it a second. */
function isWholeResponse(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, end))?.[1];
  return end !== -1 && length !== undefined && text.length >= end + 4 + Number(length);
}
