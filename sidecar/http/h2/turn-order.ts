import type { Http2Stream } from './http2-stream.ts';

/**
 * Streams in the order of their turns, linked through themselves. Not a Set, for the reason that stands at StreamTable; the
 * links of one that leaves are cut for the same reason.
 */
export class TurnOrder {
  #first: Http2Stream | undefined;
  #last: Http2Stream | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): Http2Stream | undefined {
    return this.#first;
  }

  /** Puts it last; one that has its place keeps it. */
  add(stream: Http2Stream): void {
    if (stream.hasTurn) return;
    stream.hasTurn = true;
    stream.turnBefore = this.#last;
    if (this.#last === undefined) this.#first = stream;
    else this.#last.turnAfter = stream;
    this.#last = stream;
    this.#size++;
  }

  delete(stream: Http2Stream): void {
    if (!stream.hasTurn) return;
    const { turnBefore, turnAfter } = stream;
    if (turnBefore === undefined) this.#first = turnAfter;
    else turnBefore.turnAfter = turnAfter;
    if (turnAfter === undefined) this.#last = turnBefore;
    else turnAfter.turnBefore = turnBefore;
    stream.hasTurn = false;
    stream.turnBefore = undefined;
    stream.turnAfter = undefined;
    this.#size--;
  }
}
