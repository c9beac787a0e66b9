import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import t from 'tap';
import { CompressionError, HeaderDecoder } from '#sidecar/http/h2/hpack/header-decoder.ts';
import { HeaderEncoder, MAX_ENCODER_TABLE_BYTES } from '#sidecar/http/h2/hpack/header-encoder.ts';
import { STATIC_NAMES, STATIC_VALUES } from '#sidecar/http/h2/hpack/static-table.ts';
import { decodeAll, encodeAll, integer, literal, type Pairs } from './blocks.ts';

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

function heapBytes(): number {
  if (typeof collect === 'function') collect();
  return process.memoryUsage().heapUsed;
}

/** One block of one field. */
function encode(encoder: HeaderEncoder, name: string, value: string): Buffer {
  return encodeAll(encoder, [[name, value]]);
}

function lines(pairs: Pairs): string[] {
  return pairs.map(([name, value]) => `${name}: ${value}`);
}

/** The first bits of a field say how it is sent (RFC 7541 §6). */
function kindOf(block: Buffer): string {
  const first = block[0] ?? 0;
  if (first >= 0x80) return 'indexed';
  if (first >= 0x40) return 'put in';
  if (first >= 0x20) return 'size update';
  return first >= 0x10 ? 'never indexed' : 'left out';
}

t.test('every entry of the static table is one byte', async (t) => {
  const encoder = new HeaderEncoder();
  for (let index = 1; index < STATIC_NAMES.length; index++) {
    const block = encode(encoder, STATIC_NAMES[index] ?? '', STATIC_VALUES[index] ?? '');
    t.strictSame(block, Buffer.of(0x80 + index), `${STATIC_NAMES[index]}: ${STATIC_VALUES[index]}`);
  }
});

t.test('requests go as RFC 7541 C.3 has them', async (t) => {
  const encoder = new HeaderEncoder();
  const first: Pairs = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'www.example.com'],
  ];
  t.equal(encodeAll(encoder, first).toString('hex'), '828684410f7777772e6578616d706c652e636f6d');
  t.equal(
    encodeAll(encoder, [...first, ['cache-control', 'no-cache']]).toString('hex'),
    '828684be58086e6f2d6361636865',
  );
});

t.test(
  'a name is told by its case: what the static table has in lower case is another name in upper case',
  async (t) => {
    const encoder = new HeaderEncoder();
    const decoder = new HeaderDecoder();
    const pairs: Pairs = [
      ['Accept', 'a'],
      ['accept', 'a'],
      ['ACCEPT', 'a'],
      ['Via', ''],
    ];
    for (let block = 0; block < 4; block++) t.strictSame(decodeAll(decoder, encodeAll(encoder, pairs)), lines(pairs));
    t.equal(encodeAll(encoder, pairs).length, 4, 'all of them in the table');
  },
);

t.test(
  'a field that repeats is one byte from its third time on; a name of the static table from its second',
  async (t) => {
    const encoder = new HeaderEncoder();
    const kinds = (name: string, value: string) => [1, 2, 3].map(() => kindOf(encode(encoder, name, value)));
    t.strictSame(kinds('user-agent', 'grpc-go/1.85.0'), ['put in', 'indexed', 'indexed']);
    // the first time of an unknown name it may be one of many, or a secret
    t.strictSame(kinds('x-team', 'red'), ['never indexed', 'put in', 'indexed']);
    t.equal(encode(encoder, 'x-team', 'red').length, 1);
  },
);

t.test('secrets are never put in, whatever their case and however often they come', async (t) => {
  const names = [
    'authorization',
    'proxy-authorization',
    'cookie',
    'set-cookie',
    'Authorization',
    'x-api-key',
    'X-Csrf-Token',
  ];
  const encoder = new HeaderEncoder();
  for (let time = 0; time < 30; time++) {
    for (const name of names) {
      const block = encode(encoder, name, 'the same');
      if (kindOf(block) !== 'never indexed') t.fail(`${name} was ${kindOf(block)} at time ${time}`);
    }
  }
  t.equal(kindOf(encode(encoder, ':authority', 'orders.shop')), 'put in', ':authority is none');
});

t.test('a name whose values churn is given up, and only its name stays in the table', async (t) => {
  const encoder = new HeaderEncoder();
  const decoder = new HeaderDecoder();
  let putIn = 0;
  let last = 0;
  for (let time = 0; time < 1_000; time++) {
    const value = `${time}`.padStart(36, '0');
    const block = encode(encoder, 'x-request-id', value);
    t.strictSame(decodeAll(decoder, block), [`x-request-id: ${value}`]);
    if (kindOf(block) === 'put in') putIn++;
    last = block.length;
  }
  t.ok(putIn >= 1 && putIn <= 3, `put in ${putIn} times`);
  t.ok(last <= 36 + 4, `${last} bytes: the name is an index`);
});

t.test('the name of what churns comes back into the table after it was driven out', async (t) => {
  const encoder = new HeaderEncoder();
  const decoder = new HeaderDecoder();
  let number = 0;
  const send = () => {
    const block = encode(encoder, 'x-request-id', `${number++}`.padStart(36, '0'));
    decodeAll(decoder, block);
    return block.length;
  };
  for (let time = 0; time < 100; time++) send();
  const names = ['via', 'server', 'vary', 'from', 'link', 'etag', 'accept', 'allow'];
  for (const name of names) decodeAll(decoder, encode(encoder, name, `${name}${'v'.repeat(900)}`));
  t.ok(send() > 36 + 12, 'the name is spelled out');
  for (let time = 0; time < 16; time++) send();
  t.ok(send() <= 36 + 4, 'the name is an index');
});

t.test('churn does not drive out what repeats', async (t) => {
  const encoder = new HeaderEncoder();
  const agent = 'a'.repeat(200);
  for (let time = 0; time < 500; time++) {
    encodeAll(encoder, [
      [':path', `/orders/${time}?${'x'.repeat(200)}`],
      ['traceparent', `00-${`${time}`.padStart(32, '0')}-0000000000000001-01`],
      ['date', `${time}`],
      ['content-length', `${time * 7}`],
      ['user-agent', agent],
    ]);
  }
  t.equal(encode(encoder, 'user-agent', agent).length, 1);
});

t.test('a name that calms down is put in again', async (t) => {
  for (const name of ['date', 'x-build']) {
    const encoder = new HeaderEncoder();
    const decoder = new HeaderDecoder();
    for (let time = 0; time < 200; time++) decodeAll(decoder, encode(encoder, name, `value ${time}`));
    t.equal(kindOf(encode(encoder, name, 'value')), 'left out');
    let time = 0;
    for (; time < 40; time++) {
      const block = encode(encoder, name, 'calm');
      t.strictSame(decodeAll(decoder, block), [`${name}: calm`]);
      if (block.length === 1) break;
    }
    t.ok(time < 20, `${name} was one byte after ${time} times`);
  }
});

t.test('values that take turns all find their place', async (t) => {
  const encoder = new HeaderEncoder();
  for (let time = 0; time < 400; time++) encode(encoder, 'user-agent', `agent ${time % 10}`);
  let bytes = 0;
  for (let turn = 0; turn < 10; turn++) bytes += encode(encoder, 'user-agent', `agent ${turn}`).length;
  t.equal(bytes, 10);
});

t.test('a value that would take more than a quarter of the table is left out', async (t) => {
  const encoder = new HeaderEncoder();
  for (let time = 0; time < 5; time++) {
    t.equal(kindOf(encode(encoder, 'user-agent', 'a'.repeat(1024 - 32 - 9))), 'left out');
    t.equal(kindOf(encode(encoder, 'via', 'a'.repeat(1024 - 32 - 3))), time === 0 ? 'put in' : 'indexed');
  }
});

t.test('the size of the table is told where it changes, at the beginning of the next block', async (t) => {
  const encoder = new HeaderEncoder();
  const begins = () => encodeAll(encoder, []);
  t.equal(begins().length, 0);
  encoder.setMaxTableBytes(4_096);
  t.equal(begins().length, 0, 'the default is known');
  encoder.setMaxTableBytes(0);
  t.strictSame(begins(), Buffer.of(0x20));
  t.equal(begins().length, 0, 'once');
  encoder.setMaxTableBytes(1_000);
  t.strictSame(begins(), integer(1_000, 0x20, 0x1f));
  encoder.setMaxTableBytes(2 ** 32 - 1);
  t.strictSame(begins(), integer(MAX_ENCODER_TABLE_BYTES, 0x20, 0x1f));
  encoder.setMaxTableBytes(2 ** 31);
  t.equal(begins().length, 0, 'more than is used anyway');
  // RFC 7541 §4.2: the smallest in between, then the last
  encoder.setMaxTableBytes(700);
  encoder.setMaxTableBytes(30);
  encoder.setMaxTableBytes(4_096);
  t.strictSame(begins(), Buffer.concat([integer(30, 0x20, 0x1f), integer(4_096, 0x20, 0x1f)]));
  encoder.setMaxTableBytes(9_000);
  encoder.setMaxTableBytes(4_096);
  t.equal(begins().length, 0, 'there and back, never smaller');
});

t.test('without a table fields go as literals, and with one again they are put in again', async (t) => {
  const encoder = new HeaderEncoder();
  const decoder = new HeaderDecoder();
  const pairs: Pairs = [
    ['user-agent', 'curl'],
    ['via', '1.1 edge'],
  ];
  const sizes: number[] = [];
  const send = () => {
    const block = encodeAll(encoder, pairs);
    t.strictSame(decodeAll(decoder, block), lines(pairs));
    sizes.push(block.length);
  };
  send();
  send();
  encoder.setMaxTableBytes(0);
  send();
  send();
  t.equal(sizes[1], 2);
  t.ok((sizes[3] ?? 0) > 16, 'literals');
  encoder.setMaxTableBytes(4_096);
  for (let time = 0; time < 3; time++) send();
  t.equal(sizes.at(-1), 2);
});

t.test('many names that come once neither enter the table nor are all remembered', async (t) => {
  const encoder = new HeaderEncoder();
  const target = Buffer.alloc(4_096);
  const flood = (from: number, count: number) => {
    for (let number = from; number < from + count; number++) {
      const at = encoder.field('user-agent', 'steady', target, encoder.begin(target, 0));
      const end = encoder.field(`x-${number}-${'n'.repeat(90)}`, 'v'.repeat(900), target, at);
      if (number % 7 === 0) encoder.field(`x-${number}-${'n'.repeat(90)}`, 'v'.repeat(700), target, end);
    }
  };
  flood(0, 1_000);
  const before = heapBytes();
  flood(1_000, 50_000);
  const grown = heapBytes() - before;
  t.ok(grown < 2 * 2 ** 20, `${grown} bytes`); // of 90 MB
  t.equal(kindOf(encode(encoder, 'x-new', 'v')), 'never indexed');
});

t.test('what is kept of names and values does not keep the texts alive that they were cut from', async (t) => {
  const encoder = new HeaderEncoder();
  const target = Buffer.alloc(4_096);
  const before = heapBytes();
  for (let number = 0; number < 60; number++) {
    const text = Buffer.alloc(500_000, 'x').toString('latin1');
    const name = `${text.slice(0, 20)}-${number}`;
    for (let time = 0; time < 20; time++)
      encoder.field(name, text.slice(0, 20 + time), target, encoder.begin(target, 0));
    // once only: a name that is tracked, and no more
    encoder.field(`${number}-${text}`.slice(0, 40), '', target, 0);
  }
  // found in the table by turns, cut from another text each time
  for (let number = 0; number < 60; number++) {
    const text = `${'x'.repeat(20)}${number >> 1}`;
    for (const end of ['ab', 'cd', 'ab']) {
      const whole = Buffer.alloc(500_000, end).toString('latin1');
      const at = encoder.begin(target, 0);
      encoder.field(`y-${text}`, whole.slice(0, 30), target, at);
    }
  }
  const grown = heapBytes() - before;
  t.ok(grown < 5 * 2 ** 20, `${grown} bytes`); // of 45 MB
});

const text = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 30,
});
/** Few names and values, so that they meet again, and others. */
const pair = fc.tuple(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom(':path', ':status', 'date', 'x-a', 'x-b', 'X-A', 'cookie', 'user-agent', 'x-token'),
    },
    { weight: 1, arbitrary: text },
  ),
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('', '/', '200', '1', '2', 'a'.repeat(60), 'b'.repeat(300)) },
    { weight: 1, arbitrary: text },
    { weight: 1, arbitrary: fc.nat(2_000).map((length) => 'c'.repeat(length)) },
  ),
);
const tableBytes = fc.oneof(fc.constantFrom(0, 33, 100, 4_096, 16_384, 2 ** 32 - 1), fc.nat(9_000));
const step = fc.record({
  sizes: fc.oneof(
    { weight: 4, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(tableBytes, { maxLength: 3 }) },
  ),
  pairs: fc.array(pair, { maxLength: 20 }),
  repetitions: fc.integer({ min: 1, max: 4 }),
});

t.test('any blocks come back as they went, through any changes of the table', async (t) => {
  let indexed = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const encoder = new HeaderEncoder();
      const decoder = new HeaderDecoder(MAX_ENCODER_TABLE_BYTES);
      for (const { sizes, pairs, repetitions } of steps) {
        for (const bytes of sizes) encoder.setMaxTableBytes(bytes);
        for (let time = 0; time < repetitions; time++) {
          const block = encodeAll(encoder, pairs);
          if (block.length === pairs.length) indexed++;
          t.strictSame(decodeAll(decoder, block), lines(pairs));
        }
      }
    }),
    { numRuns: 150 },
  );
  t.ok(indexed > 10, `${indexed} blocks were indices only`);
});

t.test('a decoder that was told a smaller table refuses an encoder that was not', async (t) => {
  const encoder = new HeaderEncoder();
  encoder.setMaxTableBytes(8_192);
  t.throws(() => decodeAll(new HeaderDecoder(), encodeAll(encoder, [])), CompressionError);
  t.strictSame(decodeAll(new HeaderDecoder(8_192), literal(0x40, 'a', 'b')), ['a: b']);
});
