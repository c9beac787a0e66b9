import { headerValue } from '#policy/http/flat-headers.ts';
import type { PlaintextWay } from './dial.ts';
import { Http1Upstream } from './h1/upstream.ts';
import { Http2Upstream } from './h2/upstream.ts';
import type { OutgoingRequest, Upstream, UpstreamExchange } from './message.ts';

/** To an app, or to whatever else speaks plaintext: HTTP/1.1 over kept connections, or HTTP/2 in plaintext for gRPC. */
export class AppUpstream implements Upstream {
  readonly #http1: Http1Upstream;
  readonly #http2: Http2Upstream;
  readonly #isGrpcOnly: boolean;

  /** `protocol` as in the listener's configuration: `grpc` speaks HTTP/2 always, any other only for gRPC calls. */
  constructor(address: string, port: number, protocol: string, plaintext?: PlaintextWay) {
    this.#http1 = new Http1Upstream(address, port, undefined, plaintext);
    this.#http2 = new Http2Upstream({ address, port, plaintext });
    this.#isGrpcOnly = protocol === 'grpc';
  }

  send(request: OutgoingRequest): UpstreamExchange {
    return this.#isGrpcOnly || isGrpc(request) ? this.#http2.send(request) : this.#http1.send(request);
  }

  close(): void {
    this.#http1.close();
    this.#http2.close();
  }
}

function isGrpc({ head }: OutgoingRequest): boolean {
  return head.version === '2' && headerValue(head.headers, 'content-type')?.startsWith('application/grpc') === true;
}
