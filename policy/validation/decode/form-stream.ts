import { HeldBytes } from '../../http/held-bytes.ts';
import { hasLooseBoundary, MAX_PART_HEADER_BYTES, MAX_PARTS, readPartHead } from './parse-multipart.ts';

const CRLF = '\r\n';
const HEADER_END = Buffer.from('\r\n\r\n');
const LF = 0x0a;
const EMPTY = Buffer.alloc(0);

type State =
  /** Before the first boundary. */
  | 'start'
  /** Behind a boundary: another part, or the end. */
  | 'boundary'
  | 'headers'
  | 'field'
  | 'file'
  /** Behind the last boundary. */
  | 'end';

/**
 * Reads a multipart/form-data body as it comes, and tells what of it may go on before the form was judged: all but the boundary that could end it.
 * What files hold is counted and let go; the rest is the form without it, in the very syntax, for `parseMultipart`. As strict as that.
 */
export class FormStream {
  /** Why the body is no form; nothing is read any more. */
  fault: string | undefined;
  /** Bytes that files hold. */
  fileBytes = 0;
  /** The form without what its files hold. */
  readonly form = new HeldBytes();
  readonly #first: Buffer;
  readonly #next: Buffer;
  readonly #isFile: (name: string) => boolean;
  /** What may not go on yet. */
  #held = EMPTY;
  /** Of these, how many were read. */
  #read = 0;
  #state: State = 'start';
  /** Of the last boundary, as far as it was read. */
  #boundaryBytes = 0;
  #parts = 0;
  /** The last byte of the part before what is to be read. */
  #before = LF;

  /** `isFile`: by the name of a part, whether what it holds is not looked at. */
  constructor(boundary: string, isFile: (name: string) => boolean) {
    this.#first = Buffer.from(`--${boundary}`);
    this.#next = Buffer.from(`${CRLF}--${boundary}`);
    this.#isFile = isFile;
  }

  /** What may not go on before the form was judged. */
  get held(): Buffer {
    return this.#held;
  }

  /** Reads what has come; returns what of all that has may go on, which is good only as long as the chunk is. */
  take(chunk: Buffer): Buffer {
    const data = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    let isGoingOn = true;
    while (isGoingOn && this.fault === undefined) isGoingOn = this.#step(data);
    // behind a boundary it is not known yet whether that is the last; of what is no form nothing goes on
    const heldFrom = this.#isHeld ? this.#read - this.#boundaryBytes : this.#read;
    const from = Math.max(0, heldFrom);
    this.#held = from === data.length ? EMPTY : Buffer.from(data.subarray(from));
    this.#read -= from;
    return data.subarray(0, from);
  }

  /** The body is over; the fault there is then. */
  finish(): string | undefined {
    if (this.fault === undefined && this.#state !== 'end') {
      this.fault = this.#state === 'start' ? 'does not begin with its boundary' : 'ends within a part';
    }
    const rest = this.#held.toString('latin1', this.#read);
    if (this.fault === undefined && rest !== '' && rest !== CRLF) this.fault = 'has bytes behind its last boundary';
    return this.fault;
  }

  get #isHeld(): boolean {
    return this.#state === 'boundary' || this.#state === 'end';
  }

  /** Reads the next piece; false: more has to come. */
  #step(data: Buffer): boolean {
    switch (this.#state) {
      case 'start':
        return this.#start(data);
      case 'boundary':
        return this.#boundary(data);
      case 'headers':
        return this.#headers(data);
      case 'field':
      case 'file':
        return this.#content(data, this.#state === 'file');
      case 'end':
        if (data.length - this.#read > CRLF.length) this.fault = 'has bytes behind its last boundary';
        return false;
    }
  }

  #start(data: Buffer): boolean {
    const { length } = this.#first;
    const come = Math.min(length, data.length);
    if (data.compare(this.#first, 0, come, 0, come) !== 0) this.fault = 'does not begin with its boundary';
    if (this.fault !== undefined || come < length) return false;
    this.form.push(this.#first);
    this.#pass(length);
    return true;
  }

  #boundary(data: Buffer): boolean {
    if (data.length - this.#read < CRLF.length) return false;
    const two = data.toString('latin1', this.#read, this.#read + CRLF.length);
    if (two === '--') {
      this.form.push(Buffer.from('--'));
      this.#read += two.length;
      this.#boundaryBytes += two.length;
      this.#state = 'end';
      return true;
    }
    if (two !== CRLF) this.fault = 'has a boundary that its line does not end after';
    else if (this.#parts === MAX_PARTS) this.fault = `has more than ${MAX_PARTS} parts`;
    this.#parts += 1;
    this.#state = 'headers'; // which begin with that CRLF
    return this.fault === undefined;
  }

  #headers(data: Buffer): boolean {
    const end = data.indexOf(HEADER_END, this.#read);
    const length = (end < 0 ? data.length : end) - this.#read;
    if (length > MAX_PART_HEADER_BYTES) {
      this.fault = `has a part with more than ${MAX_PART_HEADER_BYTES} bytes of headers`;
      return false;
    }
    if (end < 0) {
      // the end of a part without any
      if (data.indexOf(this.#next, this.#read) >= 0) this.fault = 'has a part without an end of its headers';
      return false;
    }
    const bytes = data.subarray(this.#read, end);
    const head = bytes.includes(this.#next) ? 'has a part without an end of its headers' : readPartHead(bytes);
    if (typeof head === 'string') {
      this.fault = head;
      return false;
    }
    this.form.push(data.subarray(this.#read, end + HEADER_END.length));
    this.#read = end + HEADER_END.length;
    this.#before = LF;
    this.#state = this.#isFile(head.name) ? 'file' : 'field';
    return true;
  }

  #content(data: Buffer, isFile: boolean): boolean {
    const found = data.indexOf(this.#next, this.#read);
    // of a boundary all but its last byte may have come
    const end = found < 0 ? Math.max(this.#read, data.length - this.#next.length + 1) : found;
    if (hasLooseBoundary(data, this.#first, this.#read, end, this.#before)) {
      this.fault = 'has its boundary in a line that no CRLF begins';
      return false;
    }
    const content = data.subarray(this.#read, end);
    if (isFile) this.fileBytes += content.length;
    else if (content.length > 0) this.form.push(content);
    this.#before = content.at(-1) ?? this.#before;
    this.#read = end;
    if (found < 0) return false;
    this.form.push(this.#next);
    this.#pass(this.#next.length);
    return true;
  }

  #pass(boundaryBytes: number): void {
    this.#read += boundaryBytes;
    this.#boundaryBytes = boundaryBytes;
    this.#state = 'boundary';
  }
}
