import { type Client, type ClientDuplexStream, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { MAX_MISSED_HEARTBEATS } from '#proto/discovery-limits.ts';
import {
  DiscoveryService,
  type Hello,
  type SubscribeRequest,
  type SubscribeResponse,
  type TapOrder,
  type Update,
} from '#proto/gen/lateral/v1/discovery.ts';
import { callFailure } from './control-endpoint.ts';

/** What the sidecar answers to an update. */
export type UpdateAnswer =
  | { readonly kind: 'ack' }
  | { readonly kind: 'nack'; readonly inForceVersion: string; readonly reasons: readonly string[] };

/** How a stream ended. */
export interface SessionEnd {
  readonly reason: string;
  /** Another sidecar has the place of this workload. */
  readonly isNameTaken: boolean;
}

export interface DiscoverySessionOptions {
  readonly client: Client;
  readonly hello: Hello;
  /** Called for one update at a time. */
  readonly onUpdate: (update: Update) => Promise<UpdateAnswer>;
  /** An operator wants to look on. */
  readonly onTapOrder: (order: TapOrder) => void;
  /** The control plane has answered: it is there and takes this sidecar. */
  readonly onAlive: () => void;
  readonly heartbeatIntervalMs: number;
  readonly now: () => number;
}

/** One stream of `Discovery.Subscribe`, from Hello to its end. */
export class DiscoverySession {
  readonly #options: DiscoverySessionOptions;
  readonly #stream: ClientDuplexStream<SubscribeRequest, SubscribeResponse>;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #finish: (end: SessionEnd) => void;
  #applying: Promise<void> = Promise.resolve();
  #hasEnded = false;
  #sequence = 0;
  #lastHeardMs: number;

  /** Resolves once the stream has ended and the update it brought is dealt with. */
  readonly ended: Promise<SessionEnd>;

  constructor(options: DiscoverySessionOptions) {
    this.#options = options;
    this.#lastHeardMs = options.now();
    const { path, requestSerialize, responseDeserialize } = DiscoveryService.subscribe;
    this.#stream = options.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.#finish = resolve;
    this.ended = promise.then(async (end) => {
      await this.#applying;
      return end;
    });
    this.#stream.on('data', (response: SubscribeResponse) => this.#receive(response));
    this.#stream.on('error', (error: Partial<ServiceError>) => {
      this.end(callFailure(error), error.code === status.ALREADY_EXISTS);
    });
    this.#stream.on('end', () => this.end('the control plane ended the stream'));
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatIntervalMs);
    this.#write({ $case: 'hello', value: options.hello });
  }

  /** Ends the stream; `ended` resolves with the first reason given. */
  end(reason: string, isNameTaken = false): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearInterval(this.#heartbeat);
    this.#stream.cancel();
    this.#finish({ reason, isNameTaken });
  }

  #receive({ message }: SubscribeResponse): void {
    this.#lastHeardMs = this.#options.now();
    this.#options.onAlive();
    if (message?.$case === 'tapOrder') this.#options.onTapOrder(message.value);
    if (message?.$case !== 'update') return;
    const update = message.value;
    // The protocol has one update in flight; were there more, they would wait for each other here.
    this.#applying = this.#applying.then(() => this.#answer(update));
  }

  async #answer(update: Update): Promise<void> {
    const { version } = update;
    const answer = await this.#options.onUpdate(update);
    if (answer.kind === 'ack') this.#write({ $case: 'ack', value: { version } });
    else {
      const { inForceVersion, reasons } = answer;
      this.#write({ $case: 'nack', value: { version, inForceVersion, reasons: [...reasons] } });
    }
  }

  #beat(): void {
    const silentMs = this.#options.now() - this.#lastHeardMs;
    const limitMs = this.#options.heartbeatIntervalMs * MAX_MISSED_HEARTBEATS;
    if (silentMs > limitMs) this.end(`the control plane was silent for ${silentMs} ms, longer than ${limitMs}`);
    else if (!this.#stream.writableNeedDrain) {
      this.#write({ $case: 'heartbeat', value: { sequence: this.#sequence++ } });
    }
  }

  #write(message: SubscribeRequest['message']): void {
    if (!this.#hasEnded) this.#stream.write({ message });
  }
}
