import { ProtocolError } from './protocol-error.ts';

/** Longest header block, request or status line included; more is 431. The same as Envoy's default. */
export const MAX_HEADER_BYTES = 61_440;

const END = Buffer.from('\r\n\r\n');

/** Collects bytes up to the empty line that ends a header block. */
export class HeadCollector {
  #pending: Buffer | undefined;

  /** True while a header block has begun and not ended; an empty line alone (RFC 9112 §2.2) begins none. */
  get hasBegun(): boolean {
    const pending = this.#pending;
    return pending !== undefined && !(pending.length <= 2 && pending[0] === 0x0d);
  }

  /**
   * Takes bytes from `offset`. When the block is complete: its text (latin1, with the CRLF of its last line, without
   * the empty line) and where the rest of `bytes` begins; undefined: more is needed, all was taken.
   */
  push(bytes: Buffer, offset: number): { readonly text: string; readonly next: number } | undefined {
    const pending = this.#pending;
    if (pending === undefined) {
      const end = bytes.indexOf(END, offset);
      if (end !== -1) {
        if (end - offset > MAX_HEADER_BYTES) throw tooLarge();
        return { text: bytes.toString('latin1', offset, end + 2), next: end + 4 };
      }
      this.#keep(bytes.subarray(offset));
      return undefined;
    }
    const joined = Buffer.concat([pending, bytes.subarray(offset)]);
    const end = joined.indexOf(END, Math.max(0, pending.length - 3));
    if (end === -1) {
      this.#keep(joined);
      return undefined;
    }
    if (end > MAX_HEADER_BYTES) throw tooLarge();
    this.#pending = undefined;
    return { text: joined.toString('latin1', 0, end + 2), next: offset + end + 4 - pending.length };
  }

  #keep(bytes: Buffer): void {
    if (bytes.length > MAX_HEADER_BYTES + END.length - 1) throw tooLarge(); // all but the last byte of its end may be here
    // a sender that ends lines with a bare LF would never be seen to end its block
    const lineFeed = bytes.indexOf(0x0a);
    if (lineFeed !== -1 && bytes[lineFeed - 1] !== 0x0d)
      throw new ProtocolError('bare "\\n" in the header block (RFC 9112 §2.2)');
    this.#pending = bytes.length === 0 ? undefined : Buffer.from(bytes); // its own copy: the socket's buffer is reused
  }
}

function tooLarge(): ProtocolError {
  return new ProtocolError(`header block exceeds maxHeaderBytes ${MAX_HEADER_BYTES}`, 'header_block_too_large');
}
