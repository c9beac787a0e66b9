import type { BodyDecoder, BodySink } from './body-decoder.ts';
import { CR, LF } from './character-classes.ts';
import { checkLineEnds, HeadCollector } from './head-collector.ts';
import { readHeaderBlock } from './header-block.ts';
import { ambiguous } from './protocol-error.ts';

/** Longest chunk extension: RFC 9112 §7.1.1 lets a recipient bound them. */
export const MAX_CHUNK_EXTENSION_BYTES = 256;
/** Extensions of one body together: work for nothing. */
export const MAX_CHUNK_EXTENSIONS_BYTES = 16_384;
/** Longest trailer section. */
export const MAX_TRAILER_BYTES = 16_384;
/** Hex digits of a chunk size: more cannot be counted exactly. */
const MAX_CHUNK_SIZE_DIGITS = 12;
const SEMICOLON = 0x3b;
/** RFC 9112 §7.1.1, without the white space that only old senders put there ("bad" in the grammar's own words). */
const EXTENSION =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t !\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)+$/;
/** Fields that have no business after the body: framing, routing, and what was decided on already (RFC 9110 §6.5.1). */
const FORBIDDEN_TRAILERS =
  /^(?:content-length|transfer-encoding|host|trailer|te|connection|upgrade|authorization|content-encoding|content-type|content-range)$/i;

type ChunkState = 'size' | 'extension' | 'size-end' | 'data' | 'data-cr' | 'data-lf' | 'last' | 'last-lf' | 'trailers';

/** A chunked body (RFC 9112 §7.1), strict: no signs, no spaces, no bare line ends. */
export class ChunkedDecoder implements BodyDecoder {
  readonly #sink: BodySink;
  #state: ChunkState = 'size';
  #left = 0;
  #digits = 0;
  #extension = '';
  #extensionBytes = 0;
  #trailers: HeadCollector | undefined;
  isDone = false;

  constructor(sink: BodySink) {
    this.#sink = sink;
  }

  push(bytes: Buffer, offset: number): number {
    let at = offset;
    while (at < bytes.length && !this.isDone) {
      switch (this.#state) {
        case 'size':
          at = this.#readSize(bytes, at);
          break;
        case 'extension':
          at = this.#readExtension(bytes, at);
          break;
        case 'size-end':
          expectByte(bytes, at++, LF, 'a chunk-size line');
          this.#state = this.#left === 0 ? 'last' : 'data';
          break;
        case 'data':
          at = this.#takeData(bytes, at);
          break;
        case 'data-cr':
          expectByte(bytes, at++, CR, 'the data of a chunk');
          this.#state = 'data-lf';
          break;
        case 'data-lf':
          expectByte(bytes, at++, LF, 'the data of a chunk');
          this.#state = 'size';
          break;
        case 'last':
          if (bytes[at] === CR) {
            at++;
            this.#state = 'last-lf';
          } else this.#state = 'trailers';
          break;
        case 'last-lf':
          expectByte(bytes, at++, LF, 'a chunked body');
          this.#end([]);
          break;
        case 'trailers':
          at = this.#readTrailers(bytes, at);
          break;
      }
    }
    return at;
  }

  endOfInput(): boolean {
    return this.isDone;
  }

  #readSize(bytes: Buffer, offset: number): number {
    let at = offset;
    while (at < bytes.length) {
      const code = bytes[at] ?? 0;
      const value = HEX[code] ?? NOT_HEX;
      if (value === NOT_HEX) {
        if (this.#digits === 0 || (code !== CR && code !== SEMICOLON)) throw sizeComplaint(code);
        this.#state = code === CR ? 'size-end' : 'extension';
        this.#digits = 0;
        return code === CR ? at + 1 : at;
      }
      if (++this.#digits > MAX_CHUNK_SIZE_DIGITS)
        throw ambiguous(`a chunk size of more than ${MAX_CHUNK_SIZE_DIGITS} hex digits (RFC 9112 §7.1)`);
      this.#left = this.#digits === 1 ? value : this.#left * 16 + value;
      at++;
    }
    return at;
  }

  /** Read to be refused where two readers could see its end in two places; else nobody wants to know it. */
  #readExtension(bytes: Buffer, offset: number): number {
    let at = offset;
    while (at < bytes.length && bytes[at] !== CR && bytes[at] !== LF) at++;
    this.#extensionBytes += at - offset;
    const length = this.#extension.length + at - offset;
    if (length > MAX_CHUNK_EXTENSION_BYTES || this.#extensionBytes > MAX_CHUNK_EXTENSIONS_BYTES) {
      throw ambiguous(
        `chunk extensions exceed maxChunkExtensionBytes ${MAX_CHUNK_EXTENSION_BYTES} (all together ${MAX_CHUNK_EXTENSIONS_BYTES})`,
      );
    }
    this.#extension += bytes.latin1Slice(offset, at);
    if (at === bytes.length) return at;
    expectByte(bytes, at, CR, 'a chunk-size line');
    if (!EXTENSION.test(this.#extension)) throw ambiguous('a malformed chunk extension (RFC 9112 §7.1.1)');
    this.#extension = '';
    this.#state = 'size-end';
    return at + 1;
  }

  #takeData(bytes: Buffer, at: number): number {
    const size = Math.min(this.#left, bytes.length - at);
    this.#left -= size;
    if (this.#left === 0) this.#state = 'data-cr';
    this.#sink.onChunk(bytes.subarray(at, at + size));
    return at + size;
  }

  #readTrailers(bytes: Buffer, offset: number): number {
    this.#trailers ??= new HeadCollector(MAX_TRAILER_BYTES, 'maxTrailerBytes');
    const next = this.#trailers.push(bytes, offset);
    if (next === -1) return bytes.length;
    this.#end(trailersOf(this.#trailers));
    return next;
  }

  #end(trailers: readonly string[]): void {
    this.isDone = true;
    this.#trailers = undefined;
    this.#sink.onEnd(trailers);
  }
}

function trailersOf(collected: HeadCollector): readonly string[] {
  try {
    const { headers } = readHeaderBlock(collected, collected.start);
    for (let index = 0; index < headers.length; index += 2) {
      if (FORBIDDEN_TRAILERS.test(headers[index] ?? ''))
        throw ambiguous(`${headers[index]} in the trailers (RFC 9110 §6.5.1)`);
    }
    return headers;
  } catch (error) {
    checkLineEnds(collected.bytes, collected.start, collected.start, collected.end);
    throw error;
  }
}

function expectByte(bytes: Buffer, at: number, wanted: number, where: string): void {
  const code = bytes[at] ?? 0;
  if (code === wanted) return;
  if (code === LF) throw ambiguous(`a bare LF ends ${where} (RFC 9112 §2.2)`);
  throw ambiguous(`${shown(code)} where the CRLF that ends ${where} is due (RFC 9112 §7.1)`);
}

function sizeComplaint(code: number): Error {
  return ambiguous(`${shown(code)} in a chunk size (RFC 9112 §7.1)`);
}

function shown(code: number): string {
  return JSON.stringify(String.fromCharCode(code));
}

const NOT_HEX = 0xff;
/** The value of each byte as a hex digit. */
const HEX: Uint8Array = Uint8Array.from({ length: 256 }, (_, code) => {
  const value = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(value) ? NOT_HEX : value;
});
