import fc from 'fast-check';
import t from 'tap';
import { DerError, DerReader, TAG } from '#policy/x509/der-reader.ts';
import { der, oid } from './build-certificate.ts';

const reader = (...bytes: readonly number[]) => new DerReader(Buffer.from(bytes));

/** What reading says, or undefined. */
function complaintOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (error instanceof DerError) return error.message;
    throw error;
  }
}

t.test('what was written is read, at every length', (t) => {
  const sizes = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 65_000, max: 66_000 }));
  fc.assert(
    fc.property(sizes, fc.integer({ min: 0, max: 0x1e }), (size, tag) => {
      const content = Buffer.alloc(size, 7);
      const element = der(tag, content);
      const outer = new DerReader(Buffer.concat([element, Buffer.of(5, 0)]));
      const isSame = outer.content(tag, 'it').equals(content);
      outer.null('null');
      return isSame && outer.isAtEnd;
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test('reading gives views, and no copies', (t) => {
  const bytes = Buffer.of(0x04, 2, 1, 2);
  const content = new DerReader(bytes).content(TAG.octetString, 'it');
  bytes[2] = 9;
  t.equal(content[0], 9);
  t.end();
});

t.test('lengths that are not the shortest, indefinite, too long or cut short are refused', (t) => {
  const rows: { readonly [what: string]: readonly number[] } = {
    nothing: [],
    'a tag alone': [0x04],
    'an indefinite length': [0x04, 0x80, 0, 0],
    'a long form for a short length': [0x04, 0x81, 0x01, 0],
    'a leading zero': [0x04, 0x82, 0x00, 0x80, ...Array(0x80).fill(0)],
    'a reserved length': [0x04, 0xff, 0],
    'four bytes of length': [0x04, 0x84, 0, 0, 0, 1, 0],
    'a length that was cut short': [0x04, 0x82, 0x01],
    'a content that was cut short': [0x04, 2, 1],
    'another tag': [0x05, 0],
  };
  for (const [what, bytes] of Object.entries(rows)) {
    t.ok(
      complaintOf(() => reader(...bytes).content(TAG.octetString, 'it')),
      what,
    );
  }
  t.ok(
    complaintOf(() => reader(0x1f, 0x81, 0x01, 0).any('it')),
    'a tag of several bytes',
  );
  t.ok(
    complaintOf(() => reader(0x30, 3, 0x04, 2, 1, 9).enter(TAG.sequence, 'it').any('it')),
    'an element beyond what holds it',
  );
  t.match(
    complaintOf(() => reader(5, 0, 5, 0).end('it')),
    /something follows/,
  );
  t.end();
});

t.test('a complaint names the position', (t) => {
  const outer = reader(0x30, 5, 0x05, 0, 0x02, 1, 1).enter(TAG.sequence, 'outer');
  outer.null('first');
  t.match(
    complaintOf(() => outer.content(TAG.octetString, 'second')),
    'second: tag 0x02 in place of 0x04 (at byte 4)',
  );
  t.end();
});

t.test('BOOLEAN, INTEGER, BIT STRING and NULL are canonical, or refused', (t) => {
  t.equal(reader(1, 1, 0xff).boolean('it'), true);
  t.equal(reader(1, 1, 0).boolean('it'), false);
  for (const bytes of [
    [1, 1, 1],
    [1, 0],
    [1, 2, 0xff, 0xff],
  ])
    t.ok(complaintOf(() => reader(...bytes).boolean('it')));
  for (const good of [[0], [0x7f], [0x80], [0, 0x80], [0xff, 0x7f]]) {
    t.same([...reader(2, good.length, ...good).integer('it')], good);
  }
  for (const bad of [[], [0, 0], [0, 0x7f], [0xff, 0x80], [0xff, 0xff]]) {
    t.match(
      complaintOf(() => reader(2, bad.length, ...bad).integer('it')),
      /INTEGER/,
    );
  }
  t.same(reader(3, 2, 4, 0xf0).bitString('it'), { bytes: Buffer.of(0xf0), unusedBits: 4 });
  t.same(reader(3, 1, 0).bitString('it'), { bytes: Buffer.alloc(0), unusedBits: 0 });
  for (const bad of [[], [1], [8, 0], [4, 0xf8], [255, 0]]) {
    t.match(
      complaintOf(() => reader(3, bad.length, ...bad).bitString('it')),
      /BIT STRING/,
    );
  }
  t.match(
    complaintOf(() => reader(3, 2, 4, 0xf0).wholeBits('it')),
    /whole bytes/,
  );
  t.match(
    complaintOf(() => reader(5, 1, 0).null('it')),
    /NULL/,
  );
  t.end();
});

t.test('object identifiers are read as they were written', (t) => {
  const arc = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 2 ** 31 }));
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 }),
      fc.integer({ min: 0, max: 39 }),
      fc.array(arc, { maxLength: 8 }),
      (a, b, rest) => {
        const dotted = [a, b, ...rest].join('.');
        return new DerReader(oid(dotted)).oid('it') === dotted;
      },
    ),
  );
  t.equal(reader(6, 2, 0x88, 0x37).oid('it'), '2.999');
  for (const bad of [
    [],
    [0x80],
    [0x2a, 0x80],
    [0x80, 0x01],
    [0x2a, 0x80, 0x01],
    Array(65).fill(1),
    Array(12).fill(0xff).concat(1),
  ]) {
    t.ok(
      complaintOf(() => reader(6, bad.length, ...bad).oid('it')),
      `${bad}`,
    );
  }
  t.end();
});

t.test('no bytes make it throw anything else, or read beyond its end', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const all = new DerReader(Buffer.from(bytes));
      complaintOf(() => {
        while (!all.isAtEnd) {
          const { tag, content } = all.any('it');
          if (content.length > bytes.length) throw new Error('beyond its end');
          for (const read of ['boolean', 'integer', 'bitString', 'oid', 'null'] as const) {
            complaintOf(() => new DerReader(der(tag, content))[read]('it'));
          }
        }
      });
    }),
    { numRuns: 2_000 },
  );
  t.end();
});
