import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import type { OutgoingBody, ServerRequest } from '#sidecar/http/message.ts';
import { plainHttpLane } from '#sidecar/listener/lane.ts';
import { Listener } from '#sidecar/listener/listener.ts';

export interface EchoListener {
  readonly port: number;
  /** Requests that were given up by their callers, by path. */
  readonly abandoned: string[];
  /** Called at each request before it is served. */
  onRequest: (request: ServerRequest) => void;
}

/**
 * Our serving side on a port of its own, in plaintext: `/bytes/N` answers N bytes, `/early` answers before it has read
 * anything, `/hold` does not answer, `/reset` begins and breaks off, `/hash` tells the SHA-256 of what it was sent; anything
 * else is sent back, trailers included.
 */
export async function startEcho(t: Test): Promise<EchoListener> {
  const listener = new Listener(
    plainHttpLane({
      onRequest(request) {
        const path = request.head.target;
        request.onAbandoned = () => echo.abandoned.push(path);
        echo.onRequest(request);
        serve(path, request);
      },
      onUnreadable: () => undefined,
    }),
  );
  const port = await listener.open(0, '127.0.0.1');
  t.teardown(() => listener.destroy());
  const echo: EchoListener = { port, abandoned: [], onRequest: () => {} };
  return echo;
}

/** N bytes that are not all the same. */
export function patterned(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; at++) bytes[at] = (at * 31 + (at >>> 8)) & 0xff;
  return bytes;
}

const PIECE_BYTES = 40_000;

function serve(path: string, request: ServerRequest): void {
  const [, kind = '', size] = path.split('/');
  switch (kind) {
    case 'bytes':
      sendAll(request.respond(head('content-length', `${size}`)), patterned(Number(size)));
      return;
    case 'early': {
      const body = request.respond({ ...head(), status: 413 });
      body.write(Buffer.from('too much'));
      body.end([]);
      return;
    }
    case 'hold':
      request.body.start({ onChunk: () => {}, onEnd: () => {}, onError: () => {} });
      return;
    case 'reset': {
      const body = request.respond(head());
      body.write(Buffer.from('begun'));
      setTimeout(() => body.abort(new Error('broke off')), 20);
      return;
    }
    case 'hash': {
      const hash = createHash('sha256');
      request.body.start({
        onChunk: (chunk) => hash.update(chunk),
        onEnd: () => sendAll(request.respond(head()), Buffer.from(hash.digest('hex'))),
        onError: () => {},
      });
      return;
    }
    default:
      sendBack(request);
  }
}

function head(...headers: string[]) {
  return { status: 200, reason: '', headers: ['x-served', 'yes', ...headers] };
}

function sendAll(body: OutgoingBody, bytes: Buffer): void {
  let at = 0;
  const go = () => {
    while (at < bytes.length) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      at += piece.length;
      if (!body.write(piece)) return; // onDrain goes on
    }
    body.end([]);
  };
  body.onDrain = go;
  go();
}

function sendBack(request: ServerRequest): void {
  const outgoing = request.respond(head('x-method', request.head.method));
  if (!request.body.isPresent) {
    outgoing.end([]);
    return;
  }
  outgoing.onDrain = () => request.body.resume();
  request.body.start({
    onChunk: (chunk) => {
      if (!outgoing.write(chunk)) request.body.pause();
    },
    onEnd: (trailers) => outgoing.end(trailers),
    onError: (error) => outgoing.abort(error),
  });
}
