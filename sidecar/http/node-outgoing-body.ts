import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { OutgoingBody, ResponseHead } from './message.ts';

/** Responses whose head was set in this turn of the event loop: one callback for all of them. */
let unflushed: NodeOutgoingBody[] = [];

function flushAtEndOfTurn(body: NodeOutgoingBody): void {
  if (unflushed.push(body) > 1) return;
  setImmediate(() => {
    const bodies = unflushed;
    unflushed = [];
    for (const each of bodies) each.flushHead();
  });
}

/** The response of node:http as an OutgoingBody; its head leaves with the first chunk, or at the end of the turn. */
export class NodeOutgoingBody implements OutgoingBody {
  readonly #response: ServerResponse;
  #hasBegun = false;
  #onDrain: (() => void) | undefined;

  constructor(response: ServerResponse, head: ResponseHead) {
    this.#response = response;
    // node's types want a mutable array; it is not written to
    response.writeHead(head.status, head.reason === '' ? (STATUS_CODES[head.status] ?? '') : head.reason, [
      ...head.headers,
    ]);
    flushAtEndOfTurn(this);
  }

  /** Sends the head by itself: an event stream's head must not wait for its first event. */
  flushHead(): void {
    if (!this.#hasBegun && !this.#response.destroyed) this.#response.flushHeaders();
  }

  get onDrain(): (() => void) | undefined {
    return this.#onDrain;
  }

  set onDrain(listener: (() => void) | undefined) {
    if (this.#onDrain === undefined) this.#response.on('drain', () => this.#onDrain?.());
    this.#onDrain = listener;
  }

  write(chunk: Buffer): boolean {
    this.#hasBegun = true;
    return this.#response.write(chunk);
  }

  end(trailers: readonly string[]): void {
    this.#hasBegun = true;
    if (trailers.length > 0) this.#response.addTrailers(pairs(trailers));
    this.#response.end();
  }

  abort(_error: Error): void {
    this.#hasBegun = true;
    this.#response.destroy();
  }
}

function pairs(flat: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let index = 0; index < flat.length; index += 2) list.push([flat[index] ?? '', flat[index + 1] ?? '']);
  return list;
}
