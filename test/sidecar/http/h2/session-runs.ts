import type { Duplex } from 'node:stream';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { Http2Exchange } from '#sidecar/http/h2/client-exchange.ts';
import { PREFACE } from '#sidecar/http/h2/frame.ts';
import { HeaderDecoder } from '#sidecar/http/h2/hpack/header-decoder.ts';
import type { Http2Error } from '#sidecar/http/h2/http2-error.ts';
import { Http2Session, type SessionEvents } from '#sidecar/http/h2/http2-session.ts';
import type { Http2Stream } from '#sidecar/http/h2/http2-stream.ts';
import { MemoryBudget } from '#sidecar/http/h2/memory-budget.ts';
import { readRequest } from '#sidecar/http/h2/request-fields.ts';
import { Http2Request } from '#sidecar/http/h2/server-request.ts';
import type {
  BodyConsumer,
  IncomingBody,
  OutgoingRequest,
  ResponseHead,
  UpstreamExchange,
} from '#sidecar/http/message.ts';
import { clientPreface, describe, FrameSplitter, settings, settingsAck } from './frames.ts';

interface RunOptions {
  /** Each read is given in the same buffer. */
  readonly isInputReused?: boolean;
  readonly firstStreamId?: number;
}

/** A session and what it told, in order; what it wrote comes by `sent`. Neither sockets nor timers. */
abstract class SessionRun implements SessionEvents {
  readonly budget: MemoryBudget;
  readonly session: Http2Session;
  /** What was told since the last look. */
  events: string[] = [];
  /** Milliseconds on the clock that the session is given. */
  now = 1_000;
  readonly #splitter = new FrameSplitter();
  readonly #decoder = new HeaderDecoder(65_536);
  #prefaceLeft: number;
  #input: Buffer | undefined;

  constructor(isServer: boolean, budget: MemoryBudget, { isInputReused = false, firstStreamId }: RunOptions) {
    this.budget = budget;
    this.#input = isInputReused ? Buffer.alloc(0) : undefined;
    this.session = new Http2Session(isServer, 'http', this, budget, firstStreamId);
    this.#prefaceLeft = isServer ? 0 : PREFACE.length;
  }

  /** Gives the session these bytes, one read each. */
  receive(...reads: readonly Buffer[]): this {
    for (const bytes of reads) this.#receive(bytes);
    return this;
  }

  #receive(bytes: Buffer): void {
    if (this.#input === undefined) {
      this.session.receive(bytes, this.now);
      return;
    }
    if (this.#input.length < bytes.length) this.#input = Buffer.alloc(bytes.length);
    const input = this.#input.subarray(0, bytes.length);
    bytes.copy(input);
    this.session.receive(input, this.now);
    input.fill(0xff); // who kept a part of it has nothing now
  }

  /** Frames written since the last look, as `describe` tells them. */
  sent(): string[] {
    return this.look(Buffer.concat(this.session.output.take()));
  }

  /** The same of bytes that were taken; all of them must be looked at, for the sake of the header table. */
  look(output: Buffer): string[] {
    let bytes = output;
    if (this.#prefaceLeft > 0) {
      bytes = bytes.subarray(this.#prefaceLeft);
      this.#prefaceLeft = 0;
    }
    return this.#splitter.push(bytes).map((frame) => describe(frame, this.#decoder));
  }

  /** What was told since the last look. */
  told(): string[] {
    return this.events.splice(0);
  }

  onRequest(_stream: Http2Stream, _fields: string[]): void {
    this.events.push('request');
  }

  onTooLarge(stream: Http2Stream, reason: string): void {
    this.events.push(`too large ${stream.id}: ${reason}`);
  }

  onMalformed(reason: string): void {
    this.events.push(`malformed: ${reason}`);
  }

  onOutput(): void {}

  onMuchOutput(): void {
    this.events.push('much output');
  }

  onStreamClosed(): void {}

  onReady(): void {
    this.events.push('ready');
  }

  onGoaway(lastStreamId: number, code: number): void {
    this.events.push(`goaway ${lastStreamId} ${code}`);
  }

  onPingAcknowledged(): void {
    this.events.push('ping acknowledged');
  }

  onFatal(error: Http2Error): void {
    this.events.push(`fatal ${error.message}`);
    this.session.abandon(error.message);
  }
}

/** Of a body, as much is kept. */
const MAX_SHOWN_BYTES = 1_000;

/** Body that came, and its end. */
export class BodyLog implements BodyConsumer {
  readonly #events: string[];
  readonly #name: string;
  text = '';
  bytes = 0;
  trailers: FlatHeaders | undefined;
  error: Error | undefined;

  constructor(events: string[], name: string) {
    this.#events = events;
    this.#name = name;
  }

  onChunk(chunk: Buffer): void {
    this.#check();
    this.bytes += chunk.length;
    this.text += chunk.toString('latin1', 0, MAX_SHOWN_BYTES - this.text.length);
  }

  onEnd(trailers: FlatHeaders): void {
    this.#check();
    this.trailers = trailers;
    this.#events.push(`${this.#name} end ${this.#shown()}${trailers.length === 0 ? '' : ` ${trailers.join(' ')}`}`);
  }

  onError(error: Error): void {
    this.#check();
    this.error = error;
    this.#events.push(`${this.#name} broke off after ${this.#shown()}: ${error.message}`);
  }

  #shown(): string {
    return this.bytes > 40 ? `${this.bytes} bytes` : JSON.stringify(this.text);
  }

  #check(): void {
    if (this.trailers !== undefined || this.error !== undefined) throw new Error(`${this.#name}: told after its end`);
  }
}

/** The serving side as Http2ServerConnection puts it together: requests arrive as the pipeline would see them. */
export class ServerRun extends SessionRun {
  readonly requests = new Map<number, Http2Request>();
  readonly bodies = new Map<number, BodyLog>();
  /** Called at each request, while the session reads. */
  serve: (request: Http2Request, id: number) => void = (request, id) => this.read(request, id);

  constructor(budget = new MemoryBudget(), options: RunOptions = {}) {
    super(true, budget, options);
  }

  override onRequest(stream: Http2Stream, fields: string[]): void {
    const read = readRequest(fields, this.session.isCased);
    if (typeof read === 'string') {
      this.session.refuseMalformed(stream, read);
      return;
    }
    stream.declaredLength = read.contentLength;
    const caller = { address: '127.0.0.1', port: 1, certificate: undefined };
    const request = new Http2Request(stream, read, caller, this.session);
    stream.owner = request;
    this.requests.set(stream.id, request);
    const { method, target, headers } = request.head;
    this.events.push(`${stream.id} ${request.isUpgrade ? 'UPGRADE ' : ''}${method} ${target} ${headers.join(' ')}`);
    request.onAbandoned = (error) => this.events.push(`${stream.id} abandoned: ${error.message}`);
    this.serve(request, stream.id);
  }

  /** Reads the body of a request as it comes. */
  read(request: Http2Request, id: number): BodyLog {
    const log = new BodyLog(this.events, `${id}`);
    this.bodies.set(id, log);
    if (request.body.isPresent) request.body.start(log);
    return log;
  }

  request(id: number): Http2Request {
    const found = this.requests.get(id);
    if (found === undefined) throw new Error(`no request on stream ${id}; told: ${this.events.join(' | ')}`);
    return found;
  }

  stream(id: number): Http2Stream {
    const found = this.session.streams.get(id);
    if (found === undefined) throw new Error(`no stream ${id}`);
    return found;
  }
}

/** A serving session whose peer has greeted it and was greeted: nothing of that is left to look at. */
export function greetedServer(...pairs: readonly (readonly [identifier: number, value: number])[]): ServerRun {
  const run = new ServerRun().receive(clientPreface(...pairs), settingsAck);
  run.sent();
  run.told();
  return run;
}

/** The asking side, with the exchanges that a pool would give it. */
export class ClientRun extends SessionRun {
  /** Exchanges that were given back to be sent elsewhere. */
  readonly again: Http2Exchange[] = [];

  constructor(budget = new MemoryBudget(), options: RunOptions = {}) {
    super(false, budget, options);
  }

  /** Sends a request; `name` stands before what is told of it. */
  ask(name: string, options: AskOptions = {}): Asked {
    const asked = new Asked(name, this.events, options);
    const exchange = new Http2Exchange(asked, (again) => {
      this.events.push(`${name} again`);
      this.again.push(again);
    });
    asked.follow(exchange);
    exchange.begin(this.session);
    return asked;
  }
}

export interface AskOptions {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: FlatHeaders;
  readonly body?: Buffer | IncomingBody | null;
  readonly isUpgrade?: boolean;
  readonly expectsContinue?: boolean;
  /** What becomes of the body of the answer: read as it comes, or not before `asked.start`. */
  readonly isHeld?: boolean;
}

/** A request and what became of it. */
export class Asked implements OutgoingRequest {
  readonly head: OutgoingRequest['head'];
  readonly body: OutgoingRequest['body'];
  readonly isUpgrade: boolean;
  readonly expectsContinue: boolean;
  readonly log: BodyLog;
  isBlocked = false;
  sentBytes = 0;
  response: ResponseHead | undefined;
  incoming: IncomingBody | undefined;
  switched: Duplex | undefined;
  failure: Error | undefined;
  readonly #events: string[];
  readonly #name: string;
  readonly #isHeld: boolean;
  #exchange: UpstreamExchange | undefined;

  constructor(name: string, events: string[], options: AskOptions) {
    const { method = 'GET', path = '/', headers: given = ['host', 'server.test'], body = null } = options;
    this.head = { method, target: path, headers: given, version: '1.1' };
    this.body = body;
    this.isUpgrade = options.isUpgrade ?? false;
    this.expectsContinue = options.expectsContinue ?? false;
    this.log = new BodyLog(events, name);
    this.#events = events;
    this.#name = name;
    this.#isHeld = options.isHeld ?? false;
  }

  follow(exchange: UpstreamExchange): void {
    this.#exchange = exchange;
    exchange.response.then(
      ({ head, body, switched }) => {
        this.response = head;
        this.switched = switched;
        this.incoming = body;
        this.#events.push(`${this.#name} answered ${head.status} ${head.headers.join(' ')}`.trim());
        if (!this.#isHeld) body.start(this.log);
      },
      (failure) => {
        this.failure = failure;
        const isUnsent = 'isUnsent' in failure && failure.isUnsent === true;
        this.#events.push(`${this.#name} failed${isUnsent ? ' unsent' : ''}: ${failure.message}`);
      },
    );
  }

  cancel(reason: string): void {
    this.#exchange?.cancel(new Error(reason));
  }

  onResponse(): void {}

  onInformation(head: ResponseHead): void {
    this.#events.push(`${this.#name} informed ${head.status} ${head.headers.join(' ')}`.trim());
  }

  onBodyProgress(bytes: number): void {
    this.sentBytes += bytes;
  }

  onBodyBlocked(isBlocked: boolean): void {
    this.isBlocked = isBlocked;
  }

  onBodyEnd(): void {
    this.#events.push(`${this.#name} sent`);
  }
}

/** An asking session whose server has greeted it. */
export function greetedClient(...pairs: readonly (readonly [identifier: number, value: number])[]): ClientRun {
  const run = new ClientRun().receive(settings(...pairs), settingsAck);
  run.sent();
  run.told();
  return run;
}

/** A body that a test feeds. */
export class FedBody implements IncomingBody {
  readonly isPresent = true;
  readonly declaredLength: number | undefined;
  isPaused = false;
  isCancelled = false;
  consumer: BodyConsumer | undefined;

  constructor(declaredLength?: number) {
    this.declaredLength = declaredLength;
  }

  start(consumer: BodyConsumer): void {
    this.consumer = consumer;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  cancel(): void {
    this.isCancelled = true;
  }
}

/** Lets what waits for promises go on. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
