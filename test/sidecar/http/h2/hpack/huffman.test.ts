import fc from 'fast-check';
import t from 'tap';
import { decodeHuffman, maxDecodedBytes } from '#sidecar/http/h2/hpack/huffman.ts';
import { bytesOf, encodeHuffman, HUFFMAN_CODES } from './huffman-codes.ts';

const EOS = 256;

function decode(bytes: Buffer): Buffer | undefined {
  const target = Buffer.alloc(maxDecodedBytes(bytes.length));
  const length = decodeHuffman(bytes, 0, bytes.length, target);
  return length === -1 ? undefined : target.subarray(0, length);
}

/** RFC 7541 §5.2 one bit after the other, from Appendix B: slow, and written with no look at the decoder. */
function decodeSlowly(bytes: Buffer): Buffer | undefined {
  const symbols = new Map(
    HUFFMAN_CODES.map(({ code, bits }, symbol) => [code.toString(2).padStart(bits, '0'), symbol]),
  );
  const found: number[] = [];
  let code = '';
  for (const byte of bytes) {
    for (const bit of byte.toString(2).padStart(8, '0')) {
      code += bit;
      const symbol = symbols.get(code);
      if (symbol === undefined) continue;
      if (symbol === EOS) return undefined;
      found.push(symbol);
      code = '';
    }
  }
  return code.length < 8 && !code.includes('0') ? Buffer.from(found) : undefined;
}

t.test('every symbol is read, alone, at every bit of a byte, and before every other', async (t) => {
  const wrong: string[] = [];
  const isRead = (symbols: number[]) => {
    if (decode(encodeHuffman(symbols))?.equals(Buffer.from(symbols)) !== true) wrong.push(symbols.join(' '));
  };
  for (let symbol = 0; symbol < EOS; symbol++) {
    // `0` has 5 bits: eight of them begin the symbol at every bit
    for (let before = 0; before < 8; before++) isRead([...new Array<number>(before).fill(0x30), symbol, 0x7a]);
    isRead([symbol]);
  }
  for (let first = 0; first < EOS; first++) {
    isRead(Array.from({ length: 2 * EOS }, (_, index) => (index % 2 === 0 ? first : index >> 1)));
  }
  t.strictSame(wrong, []);
});

t.test('an empty string is one', async (t) => {
  t.equal(decode(Buffer.alloc(0))?.length, 0);
});

t.test('EOS is refused, wherever it begins', async (t) => {
  for (let before = 0; before < 20; before++) {
    const prefix = new Array<number>(before).fill(0x30);
    t.equal(decode(encodeHuffman([...prefix, EOS])), undefined, `after ${before} symbols`);
    t.equal(decode(encodeHuffman([...prefix, EOS, 0x61])), undefined, `after ${before} symbols, before another`);
  }
});

t.test('padding of 8 bits or more is refused', async (t) => {
  for (let padding = 8; padding < 40; padding++) {
    // eight symbols of 5 bits end with a byte
    t.equal(decode(encodeHuffman(Buffer.from('00000000'), padding)), undefined);
    t.equal(decode(bytesOf('1'.repeat(padding))), undefined);
  }
});

t.test('padding that is not of ones is refused', async (t) => {
  // `a` is 00011; three bits are left
  t.strictSame(decode(bytesOf('00011111')), Buffer.from('a'));
  for (const padding of ['000', '001', '010', '011', '100', '101', '110']) {
    t.equal(decode(bytesOf(`00011${padding}`)), undefined, padding);
  }
});

t.test('a code that the end cuts off is refused', async (t) => {
  for (const { code, bits } of HUFFMAN_CODES.slice(0, EOS)) {
    const text = code.toString(2).padStart(bits, '0');
    for (let cut = 8; cut < bits; cut += 8) {
      const bytes = bytesOf(text.slice(0, cut));
      t.strictSame(decode(bytes), decodeSlowly(bytes));
    }
  }
});

t.test('any bytes are read or refused as one bit after the other says', async (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        // long codes are rare among random bits: all of them begin with ones
        fc.array(fc.constantFrom(0xff, 0xfe, 0xfc, 0xf8, 0x7f, 0x3f, 0xef, 0x00), { maxLength: 16 }),
        fc.array(fc.nat(EOS), { maxLength: 12 }).map((symbols) => encodeHuffman(symbols)),
      ),
      (input) => {
        const bytes = Buffer.from(input);
        t.strictSame(decode(bytes), decodeSlowly(bytes));
      },
    ),
    { numRuns: 400 },
  );
});
