import http from 'node:http';
import type { Duplex } from 'node:stream';
import { dial, type PeerTls } from './dial.ts';
import type { OutgoingRequest, ResponseHead, Upstream, UpstreamExchange, UpstreamResponse } from './message.ts';
import { UpstreamFailure } from './message.ts';
import { NodeIncomingBody } from './node-incoming-body.ts';

/** node:http as a forwarding codec, one connection a request: chunked bodies with trailers, and upgrades. */
export class NodeUpstream implements Upstream {
  readonly #address: string;
  readonly #port: number;
  readonly #peer: PeerTls | undefined;

  constructor(address: string, port: number, peer: PeerTls | undefined) {
    this.#address = address;
    this.#port = port;
    this.#peer = peer;
  }

  send(request: OutgoingRequest): UpstreamExchange {
    const { promise, resolve, reject } = Promise.withResolvers<UpstreamResponse>();
    let outgoing: http.ClientRequest | undefined;
    let givenUp: Error | undefined;
    dial(this.#address, this.#port, this.#peer, (failure, socket) => {
      if (socket === null) {
        reject(failure);
        return;
      }
      if (givenUp !== undefined) {
        socket.destroy();
        reject(new UpstreamFailure('cancelled', givenUp.message, true));
        return;
      }
      outgoing = http.request({
        createConnection: () => socket,
        method: request.head.method,
        path: request.head.target,
        headers: [...request.head.headers],
        setHost: false,
      });
      awaitResponse(outgoing, request, resolve, reject);
      sendBody(outgoing, request);
    });
    return {
      response: promise,
      cancel(error) {
        givenUp = error;
        outgoing?.destroy(new UpstreamFailure('cancelled', error.message, false));
      },
    };
  }

  close(): void {}
}

function awaitResponse(
  outgoing: http.ClientRequest,
  request: OutgoingRequest,
  resolve: (response: UpstreamResponse) => void,
  reject: (failure: UpstreamFailure) => void,
): void {
  const answer = (message: http.IncomingMessage, switched: Duplex | undefined) =>
    resolve({ head: headOf(message), body: new NodeIncomingBody(message), switched });
  outgoing.on('response', (message) => answer(message, undefined));
  outgoing.on('upgrade', (message: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    if (head.length > 0) socket.unshift(head);
    answer(message, socket);
  });
  outgoing.on('information', (info) => {
    if (info.statusCode !== 100) {
      request.onInformation({ status: info.statusCode, reason: info.statusMessage, headers: info.rawHeaders });
    }
  });
  outgoing.on('error', (error) => {
    reject(error instanceof UpstreamFailure ? error : new UpstreamFailure('closed', error.message, false));
  });
}

function headOf(message: http.IncomingMessage): ResponseHead {
  return { status: message.statusCode ?? 502, reason: message.statusMessage ?? '', headers: message.rawHeaders };
}

function sendBody(outgoing: http.ClientRequest, request: OutgoingRequest): void {
  const { body } = request;
  if (body === null || Buffer.isBuffer(body)) {
    outgoing.end(body ?? undefined);
    return;
  }
  outgoing.on('drain', () => body.resume());
  body.start({
    onChunk(chunk) {
      request.onBodyProgress(chunk.length);
      if (!outgoing.write(chunk)) body.pause();
    },
    onEnd(trailers) {
      request.onBodyEnd();
      if (trailers.length > 0) outgoing.addTrailers(pairs(trailers));
      outgoing.end();
    },
    onError: (error) => outgoing.destroy(new UpstreamFailure('cancelled', error.message, false)),
  });
}

function pairs(flat: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let index = 0; index < flat.length; index += 2) list.push([flat[index] ?? '', flat[index + 1] ?? '']);
  return list;
}
