import { connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { TestLeaf } from '../certificates.ts';
import { LET_THROUGH } from './envoy-listener.ts';

/** A question to one listener. */
export interface EnvoyRequest {
  readonly port: number;
  /** Of the kernel: in 127.0.0.0/8, or ::1 where `destinationIp` is one of IPv6. */
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly destinationPort: number;
  /** Undefined: plaintext. */
  readonly leaf: TestLeaf | undefined;
  readonly sni: string | undefined;
  /** What is sent; one character a byte. */
  readonly bytes: string;
  readonly protocol: 'http' | 'tcp';
}

/** A question that is asked over HTTP/2. */
export interface EnvoyRequest2 extends Omit<EnvoyRequest, 'bytes' | 'protocol'> {
  /** With pseudo-headers. */
  readonly headers: OutgoingHttpHeaders;
}

/** `refused`: the listener did not take it for a request that it could judge, with its status. */
export type EnvoyAnswer = 'allow' | 'deny' | `refused ${string}`;

const ANSWER_TIMEOUT_MS = 20_000;
const SOURCE_PORT = 1234;
const DENIED_BODY = 'RBAC: access denied';

/** Asks over a connection of its own. */
export async function askEnvoy(request: EnvoyRequest): Promise<EnvoyAnswer> {
  const socket = socketTo(request, 'http/1.1');
  const text = await answerTo(socket, request);
  if (request.protocol === 'tcp') return text === request.bytes ? 'allow' : 'deny';
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 'without a status';
  return answerOf(status, text.split('\r\n\r\n')[1] ?? '');
}

/** Asks over HTTP/2, on a connection of its own: with TLS by ALPN, else by prior knowledge. */
export function askEnvoy2(request: EnvoyRequest2): Promise<EnvoyAnswer> {
  const socket = socketTo(request, 'h2');
  const session = connectHttp2('http://envoy', { createConnection: () => socket });
  const answered = new Promise<EnvoyAnswer>((resolve, reject) => {
    const ends = (error?: Error) => resolve(`refused ${error?.message ?? 'without an answer'}`);
    session.on('error', ends);
    session.on('close', () => ends());
    session.setTimeout(ANSWER_TIMEOUT_MS, () => reject(new Error(`no answer to ${JSON.stringify(request.headers)}`)));
    const stream = session.request(request.headers, { endStream: true });
    let status = '';
    let body = '';
    stream.on('response', (headers) => {
      status = String(headers[':status']);
    });
    stream.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    stream.on('error', ends);
    stream.on('end', () => resolve(answerOf(status, body)));
  });
  return answered.finally(() => session.destroy());
}

function answerOf(status: string, body: string): EnvoyAnswer {
  if (status === '200' && body === LET_THROUGH) return 'allow';
  return status === '403' && body === DENIED_BODY ? 'deny' : `refused ${status} ${body}`;
}

function socketTo(request: Omit<EnvoyRequest, 'bytes' | 'protocol'>, alpn: string): Socket {
  const { port, sourceIp, destinationIp, destinationPort, leaf, sni } = request;
  const isIPv6 = sourceIp.includes(':');
  const plain = connect({ port, host: isIPv6 ? '::1' : '127.0.0.1', localAddress: sourceIp });
  const protocol = isIPv6 ? 'TCP6' : 'TCP4';
  plain.write(`PROXY ${protocol} ${sourceIp} ${destinationIp} ${SOURCE_PORT} ${destinationPort}\r\n`);
  return leaf === undefined ? plain : overTls(plain, leaf, sni, alpn);
}

function overTls(plain: Socket, leaf: TestLeaf, sni: string | undefined, alpn: string): Socket {
  const name: ConnectionOptions = { ALPNProtocols: [alpn], ...(sni === undefined ? {} : { servername: sni }) };
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
