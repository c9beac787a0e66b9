import { ByteText } from '../byte-text.ts';

/** Bytes that lines begin with room for; there is more where it is needed. */
const INITIAL_BYTES = 163_840;
const QUOTE = 0x22;
const ZERO = 0x30;
const DOT = 0x2e;
/** Text that JSON writes as it is. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** Lines of JSON as bytes, back to back. */
export class LogLines extends ByteText {
  constructor() {
    super(INITIAL_BYTES);
  }

  /** Any text, as it is, in UTF-8. */
  text(text: string): void {
    this.room(text.length * 3);
    this.end += this.bytes.write(text, this.end);
  }

  /** A JSON string. */
  quoted(text: string): void {
    if (!PLAIN.test(text)) {
      this.text(JSON.stringify(text));
      return;
    }
    this.room(0);
    this.bytes[this.end++] = QUOTE;
    this.latin1(text);
    this.bytes[this.end++] = QUOTE;
  }

  /** Milliseconds with three digits behind the point. */
  milliseconds(value: number): void {
    const microseconds = Math.max(0, Math.round(value * 1_000));
    const whole = Math.floor(microseconds / 1_000);
    const rest = microseconds - whole * 1_000;
    const hundreds = Math.floor(rest / 100);
    const tens = Math.floor((rest - hundreds * 100) / 10);
    this.integer(whole);
    this.room(0);
    this.bytes[this.end++] = DOT;
    this.bytes[this.end++] = ZERO + hundreds;
    this.bytes[this.end++] = ZERO + tens;
    this.bytes[this.end++] = ZERO + (rest - hundreds * 100 - tens * 10);
  }
}
