import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { CompressionError, HeaderDecoder } from '#sidecar/http/h2/hpack/header-decoder.ts';
import { writeInteger } from '#sidecar/http/h2/hpack/integer.ts';
import { AMPLE_BYTES, AMPLE_FIELDS, decodeAll, integer, likelyBlock, literal } from './blocks.ts';
import { encodeHuffman } from './huffman-codes.ts';

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

function heapBytes(): number {
  if (typeof collect === 'function') collect();
  return process.memoryUsage().heapUsed;
}

/** As C.5 and C.6 have it: a table of 256 bytes. */
function decoderOf256(): HeaderDecoder {
  const decoder = new HeaderDecoder(256);
  decodeAll(decoder, '3fe101');
  return decoder;
}

function refuses(t: Test, block: string | Buffer, message: RegExp, decoder = new HeaderDecoder()): void {
  try {
    decodeAll(decoder, block);
    t.fail(`read: ${message}`);
  } catch (error) {
    t.ok(error instanceof CompressionError, `${error}`);
    t.match(error, { message });
  }
}

t.test('integers are those of RFC 7541 C.1', async (t) => {
  const bytes = Buffer.alloc(8);
  t.equal(writeInteger(10, 0xe0, 0x1f, bytes, 0), 1);
  t.equal(bytes[0], 0xea);
  t.equal(writeInteger(1337, 0xe0, 0x1f, bytes, 0), 3);
  t.equal(bytes.toString('hex', 0, 3), 'ff9a0a');
  t.equal(writeInteger(42, 0, 0xff, bytes, 0), 1);
  t.equal(bytes[0], 42);
  // read as a length: 127 + 1210
  t.strictSame(decodeAll(new HeaderDecoder(), literal(0x04, 'a'.repeat(1337))), [`:path: ${'a'.repeat(1337)}`]);
});

t.test('single fields are those of RFC 7541 C.2', async (t) => {
  const custom = new HeaderDecoder();
  t.strictSame(decodeAll(custom, '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'), [
    'custom-key: custom-header',
  ]);
  t.strictSame(decodeAll(custom, 'be'), ['custom-key: custom-header']);
  const path = new HeaderDecoder();
  t.strictSame(decodeAll(path, '040c 2f73 616d 706c 652f 7061 7468'), [':path: /sample/path']);
  refuses(t, 'be', /index 62 is beyond the tables' 61 entries/, path);
  const password = new HeaderDecoder();
  t.strictSame(decodeAll(password, '1008 7061 7373 776f 7264 0673 6563 7265 74'), ['password: secret']);
  refuses(t, 'be', /index 62/, password);
  t.strictSame(decodeAll(new HeaderDecoder(), '82'), [':method: GET']);
});

const REQUESTS = [
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com', 'cache-control: no-cache'],
  [':method: GET', ':scheme: https', ':path: /index.html', ':authority: www.example.com', 'custom-key: custom-value'],
];
/** What the table has after them, newest first. */
const REQUESTS_TABLE = ['custom-key: custom-value', 'cache-control: no-cache', ':authority: www.example.com'];
const RESPONSES = [
  [
    ':status: 302',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    ':status: 307',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    ':status: 200',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:22 GMT',
    'location: https://www.example.com',
    'content-encoding: gzip',
    'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  ],
];
const RESPONSES_TABLE = [
  'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  'content-encoding: gzip',
  'date: Mon, 21 Oct 2013 20:13:22 GMT',
];

const EXAMPLES = [
  {
    title: 'requests are those of RFC 7541 C.3, without Huffman coding',
    decoder: () => new HeaderDecoder(),
    blocks: [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
    lists: REQUESTS,
    table: REQUESTS_TABLE,
  },
  {
    title: 'requests are those of RFC 7541 C.4, with Huffman coding',
    decoder: () => new HeaderDecoder(),
    blocks: [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
    lists: REQUESTS,
    table: REQUESTS_TABLE,
  },
  {
    title: 'responses are those of RFC 7541 C.5, with eviction, without Huffman coding',
    decoder: decoderOf256,
    blocks: [
      `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
       546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
      '4803 3330 37c1 c0bf',
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
       6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
       2076 6572 7369 6f6e 3d31`,
    ],
    lists: RESPONSES,
    table: RESPONSES_TABLE,
  },
  {
    title: 'responses are those of RFC 7541 C.6, with eviction, with Huffman coding',
    decoder: decoderOf256,
    blocks: [
      `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
       8f0b 97c8 e9ae 82ae 43d3`,
      '4883 640e ffc1 c0bf',
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
       dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
    ],
    lists: RESPONSES,
    table: RESPONSES_TABLE,
  },
];

for (const { title, decoder, blocks, lists, table } of EXAMPLES) {
  t.test(title, async (t) => {
    const subject = decoder();
    for (const [index, block] of blocks.entries()) t.strictSame(decodeAll(subject, block), lists[index]);
    for (const [index, entry] of table.entries()) t.strictSame(decodeAll(subject, Buffer.of(0xbe + index)), [entry]);
    refuses(t, Buffer.of(0xbe + table.length), /is beyond the tables'/, subject);
  });
}

t.test('bytes from start to end are read, and no other', async (t) => {
  const block = Buffer.from('ffff8286841000ff', 'hex');
  t.strictSame(new HeaderDecoder().decode(block, 2, 5, AMPLE_BYTES, AMPLE_FIELDS), [
    ...[':method', 'GET', ':scheme', 'http', ':path', '/'],
  ]);
  t.throws(() => new HeaderDecoder().decode(block, 2, 6, AMPLE_BYTES, AMPLE_FIELDS), CompressionError);
});

t.test('strings are returned as latin1, whatever bytes they have', async (t) => {
  const every = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join('');
  for (const first of [0x00, 0x10, 0x40]) {
    t.strictSame(decodeAll(new HeaderDecoder(), literal(first, every, every)), [`${every}: ${every}`]);
  }
  const coded = encodeHuffman(Buffer.from(every, 'latin1'));
  const block = Buffer.concat([Buffer.of(0x04), integer(coded.length, 0x80, 0x7f), coded]);
  t.strictSame(decodeAll(new HeaderDecoder(), block), [`:path: ${every}`]);
});

t.test('a table that is full drops its oldest entries, and only as many as needed', async (t) => {
  const decoder = new HeaderDecoder();
  // 32 + 1 + 95 bytes each: 32 fill the table
  for (let number = 0; number < 40; number++) decodeAll(decoder, literal(0x40, 'x', `${number}`.padEnd(95, '.')));
  for (let index = 0; index < 32; index++) {
    t.strictSame(decodeAll(decoder, Buffer.of(0xbe + index)), [`x: ${`${39 - index}`.padEnd(95, '.')}`]);
  }
  refuses(t, Buffer.of(0xbe + 32), /index 94 is beyond the tables' 93 entries/, decoder);
});

t.test(
  'an entry as large as the table replaces all; a larger one leaves it empty and is returned all the same',
  async (t) => {
    const decoder = new HeaderDecoder();
    decodeAll(decoder, literal(0x40, 'small', 'one'));
    const full = 'v'.repeat(4096 - 32 - 1);
    t.strictSame(decodeAll(decoder, Buffer.concat([literal(0x40, 'x', full), Buffer.of(0xbe)])), [
      `x: ${full}`,
      `x: ${full}`,
    ]);
    refuses(t, 'bf', /beyond/, decoder);
    const other = new HeaderDecoder();
    decodeAll(other, literal(0x40, 'small', 'one'));
    t.strictSame(decodeAll(other, literal(0x40, 'x', `${full}v`)), [`x: ${full}v`]);
    refuses(t, 'be', /beyond the tables' 61 entries/, other);
  },
);

t.test('a name may come from the entry that its own field drives out (RFC 7541 §4.4)', async (t) => {
  const decoder = new HeaderDecoder();
  const name = 'n'.repeat(2500);
  decodeAll(decoder, literal(0x40, name, ''));
  t.strictSame(decodeAll(decoder, Buffer.concat([literal(0x7e, 'new'), Buffer.of(0xbe)])), [
    `${name}: new`,
    `${name}: new`,
  ]);
  refuses(t, 'bf', /beyond/, decoder);
});

t.test('a table size update shrinks the table, to nothing and back', async (t) => {
  const decoder = new HeaderDecoder();
  decodeAll(decoder, Buffer.concat([literal(0x40, 'a', '1'), literal(0x40, 'b', '2')]));
  t.strictSame(decodeAll(decoder, Buffer.concat([integer(34, 0x20, 0x1f), Buffer.of(0xbe)])), ['b: 2']);
  t.strictSame(decodeAll(decoder, Buffer.concat([Buffer.of(0x20), literal(0x40, 'c', '3')])), ['c: 3']);
  t.strictSame(decodeAll(decoder, Buffer.concat([integer(4096, 0x20, 0x1f), literal(0x40, 'd', '4')])), ['d: 4']);
  t.strictSame(decodeAll(decoder, 'be'), ['d: 4']);
  t.strictSame(decodeAll(decoder, Buffer.concat([Buffer.of(0x20), integer(4096, 0x20, 0x1f)])), []);
  refuses(t, 'be', /beyond the tables' 61 entries/, decoder);
});

t.test('a larger table is used once both sides have said so', async (t) => {
  const decoder = new HeaderDecoder(8192);
  const value = 'v'.repeat(4096);
  t.strictSame(decodeAll(decoder, Buffer.concat([integer(8192, 0x20, 0x1f), literal(0x40, 'x', value)])), [
    `x: ${value}`,
  ]);
  t.strictSame(decodeAll(decoder, 'be'), [`x: ${value}`]);
  const silent = new HeaderDecoder(8192);
  decodeAll(silent, literal(0x40, 'x', value));
  refuses(t, 'be', /beyond/, silent);
});

t.test('a block that breaks RFC 7541 is refused', async (t) => {
  refuses(t, '80', /index 0/);
  refuses(t, 'be', /index 62 is beyond/);
  refuses(t, '7e0161', /index 62 is beyond/);
  refuses(t, '0f2f0161', /index 62 is beyond/);
  refuses(t, '8220', /size update after a field/);
  refuses(t, '3fe21f', /update to 4097 exceeds SETTINGS_HEADER_TABLE_SIZE 4096/);
  refuses(t, 'ff', /ends within an integer/);
  refuses(t, 'ff80', /ends within an integer/);
  refuses(t, 'ff8080808001', /more than 4 bytes/);
  refuses(t, 'ffffffffffffffffffff7f', /more than 4 bytes/);
  refuses(t, '40', /ends within a field/);
  refuses(t, '4001', /a string of 1 bytes where the block has 0 more/);
  refuses(t, '400161', /ends within a field/);
  refuses(t, '4001610262', /a string of 2 bytes where the block has 1 more/);
  refuses(t, '047fffffff7f', /a string of 268435582 bytes where the block has 0 more/);
  refuses(t, '0481ff', /Huffman string/);
  refuses(t, '0484ffffffff', /Huffman string/);
});

t.test('a list over maxListBytes is cut, named, and leaves the table in step', async (t) => {
  const decoder = new HeaderDecoder();
  const block = Buffer.concat([literal(0x40, 'one', '1'), literal(0x40, 'two', '22'), literal(0x40, 'three', '3')]);
  const bytes = 32 + 4 + 32 + 5;
  t.strictSame(decoder.decode(block, 0, block.length, bytes, 9), ['one', '1', 'two', '22']);
  t.equal(decoder.isTooLarge, true);
  t.equal(decoder.tooLargeReason, `maxHeaderListBytes ${bytes}`);
  t.strictSame(decodeAll(decoder, 'bebfc0'), ['three: 3', 'two: 22', 'one: 1']);
  t.equal(decoder.isTooLarge, false);
  t.equal(decoder.tooLargeReason, '');
  // a small field after the one that was too much is not let in again
  t.strictSame(decoder.decode(block, 0, block.length, 32 + 4 + 32 + 4, 9), ['one', '1']);
  t.equal(decoder.isTooLarge, true);
  // exactly the limit is none too many
  t.equal(decoder.decode(block, 0, block.length, bytes + 32 + 6, 9).length, 6);
  t.equal(decoder.isTooLarge, false);
});

t.test('more than maxFields are cut and named', async (t) => {
  const decoder = new HeaderDecoder();
  const block = Buffer.from('82848687', 'hex');
  t.equal(decoder.decode(block, 0, 4, AMPLE_BYTES, 4).length, 8);
  t.equal(decoder.isTooLarge, false);
  t.equal(decoder.decode(block, 0, 4, AMPLE_BYTES, 3).length, 6);
  t.equal(decoder.isTooLarge, true);
  t.equal(decoder.tooLargeReason, 'maxHeaderFields 3');
  // the limit that is passed first is the one that is named
  decoder.decode(block, 0, 4, 3 * (32 + 12), 2);
  t.equal(decoder.tooLargeReason, 'maxHeaderFields 2');
});

t.test('what is cut off is still checked', async (t) => {
  const plain = Buffer.from('82000161016282', 'hex');
  const decoder = new HeaderDecoder();
  t.strictSame(decoder.decode(plain, 0, plain.length, AMPLE_BYTES, 1), [':method', 'GET']);
  for (const bad of ['820481ff', '82be', '8220', '82000261']) {
    const bytes = Buffer.from(bad, 'hex');
    t.throws(() => new HeaderDecoder().decode(bytes, 0, bytes.length, AMPLE_BYTES, 0), CompressionError, bad);
  }
});

t.test('a bomb (one large entry named by single bytes) costs no more than its limit', async (t) => {
  const decoder = new HeaderDecoder();
  const value = 'v'.repeat(4096 - 32 - 1);
  decodeAll(decoder, literal(0x40, 'x', value));
  const references = Buffer.alloc(65_536, 0xbe);
  const limit = 61_440;
  decoder.decode(references, 0, references.length, limit, 256);
  const before = heapBytes();
  const kept: string[][] = [];
  const startedMs = performance.now();
  for (let block = 0; block < 100; block++) {
    kept.push(decoder.decode(references, 0, references.length, limit, 256));
    if (!decoder.isTooLarge) t.fail('the bomb was let in');
  }
  const tookMs = performance.now() - startedMs;
  t.ok(kept.every((fields) => fields.length / 2 === Math.floor(limit / 4096)));
  t.ok(kept.every((fields) => fields[1] === value));
  // unfolded it would be 26 GB; 6.5 million references take some 30 ms here
  t.ok(heapBytes() - before < 4 * 2 ** 20, 'memory');
  t.ok(tookMs < 5_000, `${tookMs} ms`);
});

t.test('a peer that fills the table with ever new fields makes it hold no more than its size', async (t) => {
  const decoder = new HeaderDecoder();
  const limit = 61_440;
  let number = 0;
  const feed = (blocks: number) => {
    for (let block = 0; block < blocks; block++) {
      const fields: Buffer[] = [];
      // plain and Huffman, into the table and not, small and larger than the table
      for (let field = 0; field < 60; field++) fields.push(literal(0x40, `name-${number++}`, 'v'.repeat(number % 97)));
      fields.push(literal(0x40, `large-${number++}`, 'v'.repeat(30_000)));
      const coded = encodeHuffman(Buffer.from(`${number++}`));
      fields.push(Buffer.of(0x44), integer(coded.length, 0x80, 0x7f), coded);
      for (let field = 0; field < 20; field++) fields.push(literal(0x00, `name-${number++}`, 'v'.repeat(500)));
      const bytes = Buffer.concat(fields);
      decoder.decode(bytes, 0, bytes.length, limit, 256);
    }
  };
  feed(50);
  const before = heapBytes();
  feed(500);
  const grown = heapBytes() - before;
  // 500 blocks have 20 MB of characters
  t.ok(grown < 2 * 2 ** 20, `${grown} bytes`);
});

t.test('an evicted entry is given back', async (t) => {
  const decoders = Array.from({ length: 50 }, () => new HeaderDecoder());
  const before = heapBytes();
  for (const decoder of decoders) {
    for (let number = 0; number < 120; number++) decodeAll(decoder, literal(0x40, '', `${number % 10}`));
    for (let number = 0; number < 120; number++) decodeAll(decoder, literal(0x40, 'n', `${number}`.padEnd(4_000, 'v')));
  }
  const grown = heapBytes() - before;
  // 4 kB for each decoder and its ring; all that passed are 25 MB
  t.ok(grown < 4 * 2 ** 20, `${grown} bytes`);
  t.equal(decoders.length, 50);
});

t.test('any bytes are read or refused with a CompressionError, and stay within the limits', async (t) => {
  let read = 0;
  let refused = 0;
  fc.assert(
    fc.property(fc.array(likelyBlock, { maxLength: 8 }), fc.nat(2_000), fc.nat(12), (blocks, maxBytes, maxFields) => {
      const decoder = new HeaderDecoder();
      for (const block of blocks) {
        let fields: string[];
        try {
          fields = decoder.decode(block, 0, block.length, maxBytes, maxFields);
        } catch (error) {
          if (!(error instanceof CompressionError)) throw error;
          refused++;
          return;
        }
        read++;
        let bytes = 0;
        for (const text of fields) bytes += text.length + 16;
        if (bytes > maxBytes || fields.length > maxFields * 2) throw new Error('a limit was passed');
        if (decoder.isTooLarge !== (decoder.tooLargeReason !== '')) throw new Error('a limit has no name');
      }
    }),
    { numRuns: 2_000 },
  );
  t.ok(read > 100, `${read} blocks were read`);
  t.ok(refused > 100, `${refused} blocks were refused`);
});
