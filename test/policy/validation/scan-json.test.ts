import fc from 'fast-check';
import t from 'tap';
import { scanJson } from '#policy/validation/decode/scan-json.ts';

const LIMITS = { maxDepth: 64, denyDuplicateKeys: true, denyInexactIntegers: false };

function parses(text: string): boolean {
  try {
    JSON.parse(text, (_key, value) => {
      if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError('a number beyond all doubles');
      return value;
    });
    return true;
  } catch {
    return false;
  }
}

t.test('takes exactly what JSON.parse takes', async (t) => {
  const texts = [
    ...[
      '{}',
      '[]',
      '1',
      '-0',
      '-0.5e+3',
      '1E5',
      '"a\\u0041\\n\\/"',
      'true',
      ' [1 , 2 ] ',
      '{"a":{"b":[{}]}}',
      '"\u2028"',
    ],
    ...['', ' ', '01', '-', '+1', '1.', '.5', '1e', '1e+', 'nul', 'True', 'NaN', '[1,]', '[,1]', '{"a":}', '{"a"}'],
    ...[
      '{a:1}',
      "{'a':1}",
      '{"a":1,}',
      '[1 2]',
      '{"a":1 "b":2}',
      '[',
      '{',
      ']',
      '}',
      '[}',
      '{]',
      '"a',
      '"\\x"',
      '"\\u12g4"',
    ],
    ...['"\n"', '"\t"', '1 2', '{} x', '\ufeff{}', '/**/1', '[1]]', '\u00a01', 'nulll', '"\\', '{"a":1,,"b":2}'],
  ];
  const disagreements = texts.filter((text) => (scanJson(text, LIMITS) === undefined) !== parses(text));
  t.same(disagreements, []);
});

t.test('takes what JSON.stringify writes, and agrees with JSON.parse on damaged texts', async (t) => {
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 8 }),
      (text) => scanJson(text, { ...LIMITS, denyDuplicateKeys: false }) === undefined,
    ),
  );
  const damaged = fc.tuple(
    fc.json({ maxDepth: 4 }),
    fc.nat(),
    fc.constantFrom('', '"', '{', ']', ',', ':', '0', '\\', '\n'),
  );
  fc.assert(
    fc.property(damaged, ([text, at, insert]) => {
      const index = at % (text.length + 1);
      const broken = text.slice(0, index) + insert + text.slice(index + 1);
      return (scanJson(broken, { ...LIMITS, denyDuplicateKeys: false }) === undefined) === parses(broken);
    }),
    { numRuns: 2000 },
  );
  t.pass('no counterexample');
});

t.test('finds duplicate keys, as their escapes decode, of one object only', async (t) => {
  const many = Array.from({ length: 40 }, (_, index) => `"key${index}":${index}`).join();
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['{"a":1,"a":2}', 7],
    ['{"a":1,"b":2,"\\u0061":3}', 13],
    ['{"\\u0061":1,"a":3}', 12],
    ['{"a\\"":1,"a\\u0022":3}', 9],
    ['{"a":{"a":1},"b":[{"a":1},{"a":2}]}', undefined],
    ['{"a":{"b":1,"c":2,"b":3}}', 18],
    ['[{"a":1},{"b":1,"b":2}]', 16],
    [`{${many}}`, undefined],
    [`{${many},"key39":1}`, many.length + 2],
    [`{${many},"x":{"key1":1},"key3":1}`, many.length + 17],
    ['{"":1,"":2}', 6],
    ['{"__proto__":1,"__proto__":2}', 15],
  ];
  for (const [text, offset] of cases) {
    t.equal(scanJson(text, LIMITS)?.offset, offset, text.slice(0, 40));
    t.equal(scanJson(text, { ...LIMITS, denyDuplicateKeys: false }), undefined);
  }
});

t.test('refuses nesting beyond the limit, counting arrays and objects', async (t) => {
  const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;
  t.equal(scanJson(nested(64), LIMITS), undefined);
  t.match(scanJson(nested(66), LIMITS), { reason: 'nested deeper than limits.jsonDepth 64', offset: (64 / 2) * 6 });
  t.match(scanJson('['.repeat(5_000_000), LIMITS), { offset: 64 });
  t.equal(scanJson('[]', { ...LIMITS, maxDepth: 1 }), undefined);
  t.match(scanJson('[[]]', { ...LIMITS, maxDepth: 1 }), { offset: 1 });
});

t.test('is linear: a million keys in one object, a long string', async (t) => {
  const keys = `{${Array.from({ length: 100_000 }, (_, index) => `"k${index}":0`).join()}}`;
  const started = performance.now();
  t.equal(scanJson(keys, LIMITS), undefined);
  t.equal(scanJson(JSON.stringify('\\"'.repeat(500_000)), LIMITS), undefined);
  t.ok(performance.now() - started < 2_000);
});

t.test('numbers that no double holds are faults; integers that it rounds are by choice', async (t) => {
  const deny = { ...LIMITS, denyInexactIntegers: true };
  for (const text of ['1e309', '[-1e309]', '{"a":1E+400}', `1${'0'.repeat(400)}`, `[0.1e${'9'.repeat(20)}]`]) {
    t.match(scanJson(text, LIMITS)?.reason, /beyond what programs hold/, text.slice(0, 20));
  }
  for (const text of [
    '1e308',
    '-1.7976931348623157e308',
    '1e-999',
    '0e999',
    'false',
    '[true]',
    '123456789012345678.5',
  ]) {
    t.equal(scanJson(text, deny), undefined, text);
  }
  for (const text of ['9007199254740993', '-9007199254740993', '[12345678901234567891]']) {
    t.equal(scanJson(text, LIMITS), undefined, text);
    t.match(scanJson(text, deny), { reason: /do not hold exactly/, offset: text.startsWith('[') ? 1 : 0 }, text);
  }
  for (const text of ['9007199254740991', '9007199254740992', '1152921504606846976', '100000000000000000000']) {
    t.equal(scanJson(text, deny), undefined, `${text} is exact`);
  }
});
