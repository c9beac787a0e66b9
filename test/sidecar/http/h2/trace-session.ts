import { Http2Exchange } from '#sidecar/http/h2/client-exchange.ts';
import type { Http2Session } from '#sidecar/http/h2/http2-session.ts';
import type { Http2Stream } from '#sidecar/http/h2/http2-stream.ts';
import { MemoryBudget } from '#sidecar/http/h2/memory-budget.ts';
import type { Http2Request } from '#sidecar/http/h2/server-request.ts';
import { ENABLE_CONNECT_PROTOCOL } from '#sidecar/http/h2/settings.ts';
import { settings, settingsAck } from './frames.ts';
import { Asked, BodyLog, ClientRun, FedBody, ServerRun } from './session-runs.ts';

/** Output that a trace may cause: its answers are short, and what else is written is limited by what was read. */
const MAX_OUTPUT_BYTES_PER_READ_BYTE = 8;
const MAX_OUTPUT_BYTES_OF_ANSWERS = 2_000_000;
const LARGE_BODY_BYTES = 40_000;

/**
 * A serving session that reads these bytes, in these pieces, with an app that does something else with each request: all
 * that was told and written. Throws where an invariant is broken; what may differ by the pieces is not shown.
 */
export function traceServer(reads: readonly Buffer[], isInputReused = false): string[] {
  const run = new TracedServer(isInputReused).receive(...reads);
  for (const request of run.requests.values()) request.body.resume();
  return finish(run, reads);
}

/** The same behind preface and SETTINGS: most inputs would not get that far. */
export function traceGreetedServer(reads: readonly Buffer[], isInputReused = false): string[] {
  return traceServer([...GREETING, ...reads], isInputReused);
}

const GREETING = (() => {
  const { session } = new ClientRun();
  return [Buffer.concat(session.output.take()), settingsAck];
})();

class TracedServer extends ServerRun {
  readonly owners: Owner[] = [];

  constructor(isInputReused: boolean) {
    super(new MemoryBudget(), { isInputReused });
    this.serve = (request, id) => this.#serve(request, id);
  }

  #serve(request: Http2Request, id: number): void {
    const owner = new Owner(`${id}`);
    this.owners.push(owner);
    request.onAbandoned = (error) => {
      owner.end('abandoned');
      this.events.push(`${id} abandoned: ${error.message}`);
    };
    const log = new OwnedLog(this.events, `${id}`);
    if (request.body.isPresent) request.body.start(log);
    const head = { status: 200, reason: '', headers: ['x-id', `${id}`] };
    switch ((id >> 1) % 6) {
      case 0:
        break; // reads on and never answers
      case 1:
        request.respond(head).end([]);
        break;
      case 2:
        request.body.pause();
        break;
      case 3: {
        const body = request.respond(head);
        body.write(Buffer.alloc(LARGE_BODY_BYTES));
        body.end(['x-trailer', '1']);
        break;
      }
      case 4:
        request.body.cancel();
        log.end('cancelled');
        break;
      default:
        log.atEnd = () => request.respond(head).end([]);
        if (!request.body.isPresent) request.respond({ ...head, status: 204 }).end([]);
    }
  }
}

/** An asking session, with requests of all kinds under way, whose server says these bytes. */
export function traceClient(reads: readonly Buffer[], isInputReused = false): string[] {
  const run = new ClientRun(new MemoryBudget(), { isInputReused }).receive(
    settings([ENABLE_CONNECT_PROTOCOL, 1]),
    settingsAck,
  );
  const body = new FedBody();
  const held = new FedBody();
  const exchanges = [
    {},
    { method: 'HEAD' },
    { method: 'POST', body: Buffer.alloc(LARGE_BODY_BYTES) },
    { method: 'POST', body },
    { method: 'POST', body: held, expectsContinue: true },
    { isUpgrade: true },
    { method: 'GET', isHeld: true },
    { method: 'PUT', body: Buffer.from('short') },
  ].map(
    (options, index) => new TracedExchange(new Asked(`${index}`, run.events, options), run, options.isHeld === true),
  );
  for (const exchange of exchanges) exchange.begin(run.session);
  body.consumer?.onChunk(Buffer.alloc(LARGE_BODY_BYTES));
  run.receive(...reads);
  body.consumer?.onEnd([]);
  held.consumer?.onEnd([]);
  exchanges.at(0)?.cancel(new Error('cancelled'));
  for (const exchange of exchanges) exchange.stream?.resume();
  return finish(run, reads);
}

/** Starts the body in the same turn: a trace waits for nothing. */
class TracedExchange extends Http2Exchange {
  stream: Http2Stream | undefined;
  readonly #run: ClientRun;
  readonly #log: OwnedLog;
  readonly #name: string;
  readonly #isHeld: boolean;
  #isStarted = false;

  constructor(asked: Asked, run: ClientRun, isHeld: boolean) {
    super(asked, () => this.#run.events.push(`${this.#name} again`));
    this.#name = `request ${asked.head.method}`;
    this.#run = run;
    this.#isHeld = isHeld;
    this.#log = new OwnedLog(run.events, this.#name);
    this.response.then(
      () => {},
      () => {},
    );
  }

  override begin(session: Http2Session): void {
    super.begin(session);
    for (const stream of session.streams.all()) if (stream.owner === this) this.stream = stream;
  }

  override onHead(fields: string[]): void {
    this.#run.events.push(`${this.#name} head ${JSON.stringify(fields)}`);
    super.onHead(fields);
    const { stream } = this;
    if (stream === undefined || stream.isReset || !stream.hasFinalHead || this.#isStarted) return;
    this.#isStarted = true;
    stream.start(this.#log);
    if (this.#isHeld) stream.pause();
  }

  override onReset(code: number | undefined, reason: string, isFault: boolean): void {
    this.#run.events.push(`${this.#name} reset ${code} ${reason}`);
    super.onReset(code, reason, isFault);
  }
}

/** Whoever is told of an end is told once. */
class Owner {
  readonly #name: string;
  #ending: string | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  end(how: string): void {
    if (this.#ending !== undefined) throw new Error(`${this.#name}: ${how} behind ${this.#ending}`);
    this.#ending = how;
  }
}

/** BodyLog throws where it is told anything behind the end. */
class OwnedLog extends BodyLog {
  atEnd = () => {};
  #isCancelled = false;

  /** From now on nothing must come. */
  end(_how: string): void {
    this.#isCancelled = true;
  }

  override onChunk(chunk: Buffer): void {
    if (this.#isCancelled) throw new Error('a chunk behind cancel');
    super.onChunk(chunk);
  }

  override onEnd(trailers: readonly string[]): void {
    if (this.#isCancelled) throw new Error('an end behind cancel');
    super.onEnd(trailers);
    this.atEnd();
  }
}

interface Traced {
  readonly session: Http2Session;
  readonly budget: MemoryBudget;
  told(): string[];
  look(output: Buffer): string[];
}

/** Ends what is left, holds the session against its invariants, and shows it. */
function finish(run: Traced, reads: readonly Buffer[]): string[] {
  const { session, budget } = run;
  checkStreams(session);
  const isFatal = session.isFatal;
  const told = run.told();
  session.abandon('over');
  told.push(...run.told());
  if (session.streams.size > 0) throw new Error(`${session.streams.size} streams are left`);
  if (budget.usedBytes !== 0) throw new Error(`${budget.usedBytes} bytes are left waiting`);
  const output = Buffer.concat(session.output.take());
  const readBytes = reads.reduce((sum, { length }) => sum + length, 0);
  if (output.length > MAX_OUTPUT_BYTES_OF_ANSWERS + readBytes * MAX_OUTPUT_BYTES_PER_READ_BYTE)
    throw new Error(`${output.length} bytes of output for ${readBytes}`);
  return [...told, ...run.look(output), isFatal ? 'fatal' : 'open'];
}

function checkStreams(session: Http2Session): void {
  for (const stream of session.streams.all()) {
    const { id } = stream;
    if (session.streams.get(id) !== stream) throw new Error(`stream ${id} is not found under its ID`);
    if (stream.isReset) throw new Error(`stream ${id} was reset, and is kept`);
    if (stream.isLocalEnded && stream.isRemoteEnded) throw new Error(`stream ${id} has ended, and is kept`);
    if (stream.queuedBytes !== stream.queue.reduce((sum, { length }) => sum + length, 0))
      throw new Error(`stream ${id} queues other than ${stream.queuedBytes} bytes`);
    if (stream.receiveWindow < 0) throw new Error(`stream ${id} took more than its window`);
  }
}
