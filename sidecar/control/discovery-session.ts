import { type Client, type ClientDuplexStream, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { MAX_MISSED_HEARTBEATS } from '#proto/discovery-limits.ts';
import {
  DiscoveryService,
  type Hello,
  type SubscribeRequest,
  type SubscribeResponse,
  type TapOrder,
  type Update,
  type Vitals,
} from '#proto/gen/lateral/v1/discovery.ts';
import { callFailure } from './control-endpoint.ts';
import { type UpdateAssembly, UpdateFault } from './update-assembly.ts';

/** What the sidecar answers to an update. */
export type UpdateAnswer =
  | { readonly kind: 'ack' }
  | { readonly kind: 'nack'; readonly inForceVersion: string; readonly reasons: readonly string[] };

/** How a stream ended. */
export interface SessionEnd {
  readonly reason: string;
  /** Another sidecar has the place of this workload. */
  readonly isNameTaken: boolean;
  /** The certificate of the connection proves nothing to the control plane. */
  readonly isCertificateRefused: boolean;
}

export interface DiscoverySessionOptions {
  readonly client: Client;
  readonly hello: Hello;
  /** Where the parts of updates come together. */
  readonly assembly: UpdateAssembly;
  /** Called for one update at a time. */
  readonly onUpdate: (update: Update) => Promise<UpdateAnswer>;
  /** An operator wants to look on. */
  readonly onTapOrder: (order: TapOrder) => void;
  /** The control plane has answered: it is there and takes this sidecar. */
  readonly onAlive: () => void;
  /** How the sidecar fares; said after Hello, and again where it is other than it was. */
  readonly vitals: () => Promise<Vitals>;
  readonly heartbeatIntervalMs: number;
  readonly monotonicNow: () => number;
}

/** The control plane has so long to take note that a sidecar leaves. */
const LEAVE_TIMEOUT_MS = 1_000;

/** One stream of `Discovery.Subscribe`, from Hello to its end. */
export class DiscoverySession {
  readonly #options: DiscoverySessionOptions;
  readonly #stream: ClientDuplexStream<SubscribeRequest, SubscribeResponse>;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #finish: (end: SessionEnd) => void;
  #applying: Promise<void> = Promise.resolve();
  #hasEnded = false;
  #isLeaving = false;
  #saidVitals = '';
  #sequence = 0;
  #lastHeardMs: number;

  /** Resolves once the stream has ended and the update it brought is dealt with. */
  readonly ended: Promise<SessionEnd>;

  constructor(options: DiscoverySessionOptions) {
    this.#options = options;
    this.#lastHeardMs = options.monotonicNow();
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
      this.end(callFailure(error), error.code);
    });
    this.#stream.on('end', () => this.end('the control plane ended the stream'));
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatIntervalMs);
    this.#write({ $case: 'hello', value: options.hello });
    void this.#sayVitals();
  }

  /** Ends the stream as soon as the control plane has taken note, so that the place is free for the one that follows. */
  leave(reason: string): void {
    if (this.#hasEnded || this.#isLeaving) return;
    this.#isLeaving = true;
    this.#stream.removeAllListeners('end');
    this.#stream.on('end', () => this.end(reason));
    this.#stream.end();
    setTimeout(() => this.end(reason), LEAVE_TIMEOUT_MS).unref();
  }

  /** Ends the stream; `ended` resolves with the first reason given. */
  end(reason: string, code?: status): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearInterval(this.#heartbeat);
    this.#stream.cancel();
    this.#finish({
      reason,
      isNameTaken: code === status.ALREADY_EXISTS,
      isCertificateRefused: code === status.UNAUTHENTICATED,
    });
  }

  #receive({ message }: SubscribeResponse): void {
    this.#lastHeardMs = this.#options.monotonicNow();
    this.#options.onAlive();
    if (message?.$case === 'tapOrder') this.#options.onTapOrder(message.value);
    try {
      const update = this.#assembled(message);
      if (update === undefined) return;
      // The protocol has one update in flight; were there more, they would wait for each other here.
      this.#applying = this.#applying.then(() => this.#answer(update));
    } catch (error) {
      if (!(error instanceof UpdateFault)) throw error;
      this.#options.assembly.answered(); // of what came nothing is believed
      this.end(error.message);
    }
  }

  #assembled(message: SubscribeResponse['message']): Update | undefined {
    const { assembly } = this.#options;
    if (message?.$case === 'documentChunk') assembly.addChunk(message.value);
    if (message?.$case === 'updatePart') assembly.addPart(message.value);
    return message?.$case === 'update' ? assembly.complete(message.value) : undefined;
  }

  async #answer(update: Update): Promise<void> {
    const { version } = update;
    const answer = await this.#options.onUpdate(update);
    this.#options.assembly.answered();
    if (answer.kind === 'ack') this.#write({ $case: 'ack', value: { version } });
    else {
      const { inForceVersion, reasons } = answer;
      this.#write({ $case: 'nack', value: { version, inForceVersion, reasons: [...reasons] } });
    }
  }

  #beat(): void {
    const silentMs = Math.round(this.#options.monotonicNow() - this.#lastHeardMs);
    const limitMs = this.#options.heartbeatIntervalMs * MAX_MISSED_HEARTBEATS;
    if (silentMs > limitMs) this.end(`the control plane was silent for ${silentMs} ms, longer than ${limitMs}`);
    else if (!this.#stream.writableNeedDrain) {
      this.#write({ $case: 'heartbeat', value: { sequence: this.#sequence++ } });
      void this.#sayVitals();
    }
  }

  /** Never rejects: a sidecar that cannot say how it fares goes on all the same. */
  async #sayVitals(): Promise<void> {
    const vitals = await this.#options.vitals().catch(() => undefined);
    const said = JSON.stringify(vitals);
    if (vitals === undefined || said === this.#saidVitals) return;
    this.#saidVitals = said;
    this.#write({ $case: 'vitals', value: vitals });
  }

  #write(message: SubscribeRequest['message']): void {
    if (!this.#hasEnded && !this.#isLeaving) this.#stream.write({ message });
  }
}
