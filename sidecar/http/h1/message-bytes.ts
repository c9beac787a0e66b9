import type { Socket } from 'node:net';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { ByteText } from '../../byte-text.ts';
import { hasTaken } from '../output-buffer.ts';

const INITIAL_BYTES = 65_536;
const COLON = 0x3a;
const SPACE = 0x20;
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
/** Bodies up to this size leave in one piece with their head. */
export const MAX_JOINED_BYTES = 16_384;

/** What the socket cannot take at once is copied up to this size; for more it is given the memory itself. */
const MAX_COPIED_BYTES = 32_768;

/** A message on its way into a socket: written here, sent at once, and the memory used again for the next. */
export class MessageBytes extends ByteText {
  constructor() {
    super(INITIAL_BYTES);
  }

  /** Field lines (RFC 9112 §5). */
  fields(fields: FlatHeaders): void {
    for (let index = 0; index < fields.length; index += 2) this.field(fields[index] ?? '', fields[index + 1] ?? '');
  }

  field(name: string, value: string): void {
    this.latin1(name);
    this.bytes[this.end++] = COLON; // `latin1` leaves room for a few bytes
    this.bytes[this.end++] = SPACE;
    this.latin1(value);
    this.lineEnd();
  }

  lineEnd(): void {
    this.bytes[this.end++] = CARRIAGE_RETURN;
    this.bytes[this.end++] = LINE_FEED;
  }

  /** Hands everything to the socket; false: it has enough for now. */
  send(socket: Socket): boolean {
    const mayBeTakenAtOnce = socket.writableLength === 0 && socket.writableCorked === 0;
    if (!mayBeTakenAtOnce && this.end <= MAX_COPIED_BYTES) {
      const copy = Buffer.from(this.bytes.subarray(0, this.end));
      this.reset();
      return socket.write(copy);
    }
    const isWritable = socket.write(this.bytes.subarray(0, this.end));
    if (hasTaken(socket, mayBeTakenAtOnce)) this.reset();
    else this.replace(); // the socket keeps it until it can send it
    return isWritable;
  }
}

/** Used by everything that writes HTTP/1.1, which is done with it before anything else runs. */
export const message = new MessageBytes();
