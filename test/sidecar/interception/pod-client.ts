import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { createInterface } from 'node:readline';
import tls from 'node:tls';
import { WebSocket } from 'ws';

// A program: what a container of a pod calls. Reads one JSON question a line, answers with one.

export interface ClientQuestion {
  readonly kind: 'http' | 'tcp' | 'tls' | 'h2' | 'websocket';
  readonly address: string;
  readonly port: number;
  /** http, h2, websocket: the Host. */
  readonly host?: string;
  readonly path?: string;
  /** tcp, tls: said after the other side's first bytes, or at once. */
  readonly say?: string;
  readonly speaksFirst?: boolean;
}

export interface ClientAnswer {
  readonly status?: number;
  readonly text: string;
  readonly error?: string;
  /** Milliseconds until the first byte. */
  readonly firstByteMs?: number;
}

const PATIENCE_MS = 8_000;

function ask(question: ClientQuestion): Promise<ClientAnswer> {
  switch (question.kind) {
    case 'http':
      return askHttp(question);
    case 'h2':
      return askHttp2(question);
    case 'websocket':
      return askWebSocket(question);
    default:
      return talk(question);
  }
}

function askHttp({ address, port, host = address, path = '/' }: ClientQuestion): Promise<ClientAnswer> {
  return new Promise((resolve) => {
    const request = http.get({ host: address, port, path, headers: { host }, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on('error', (error) => resolve({ text: '', error: error.message }));
  });
}

function askHttp2({ address, port, host = address }: ClientQuestion): Promise<ClientAnswer> {
  return new Promise((resolve) => {
    const session = http2.connect(`http://${net.isIPv6(address) ? `[${address}]` : address}:${port}`);
    session.on('error', (error) => resolve({ text: '', error: error.message }));
    const stream = session.request({
      ':method': 'POST',
      ':path': '/service/Method',
      ':authority': host,
      'content-type': 'application/grpc',
    });
    let status = 0;
    let text = '';
    stream.on('response', (headers) => {
      status = Number(headers[':status']);
    });
    stream.on('data', (chunk) => {
      text += chunk;
    });
    stream.on('error', (error) => resolve({ text, error: error.message }));
    stream.on('end', () => {
      session.close();
      resolve({ status, text });
    });
    stream.end('question');
  });
}

function askWebSocket({
  address,
  port,
  host = address,
  path = '/ws',
  say = '',
}: ClientQuestion): Promise<ClientAnswer> {
  return new Promise((resolve) => {
    const where = net.isIPv6(address) ? `[${address}]` : address;
    const socket = new WebSocket(`ws://${where}:${port}${path}`, { headers: { host } });
    socket.on('open', () => socket.send(say));
    socket.on('message', (data) => {
      socket.close();
      resolve({ text: String(data) });
    });
    socket.on('error', (error) => resolve({ text: '', error: error.message }));
  });
}

function talk({ kind, address, port, say, speaksFirst = false }: ClientQuestion): Promise<ClientAnswer> {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const socket =
      kind === 'tls'
        ? tls.connect({ host: address, port, rejectUnauthorized: false })
        : net.connect({ host: address, port, allowHalfOpen: true });
    let text = '';
    let firstByteMs: number | undefined;
    const done = (error?: string) => {
      socket.destroy();
      const more = { ...(error === undefined ? {} : { error }), ...(firstByteMs === undefined ? {} : { firstByteMs }) };
      resolve({ text, ...more });
    };
    socket.setTimeout(PATIENCE_MS, () => done('no end in time'));
    socket.on('data', (chunk: Buffer) => {
      firstByteMs ??= Math.round(performance.now() - startedAt);
      const isFirst = text === '';
      text += chunk;
      if (isFirst && say !== undefined && !speaksFirst) socket.end(say);
    });
    if (say !== undefined && speaksFirst)
      socket.once(kind === 'tls' ? 'secureConnect' : 'connect', () => socket.end(say));
    socket.on('error', (error) => done(error.message));
    socket.on('end', () => done());
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const question: ClientQuestion = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(await ask(question))}\n`);
}
