import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { DocumentValidators } from '#policy/validation/instantiate-validators.ts';
import { compileDescriptorSet } from '#policy/validation/protobuf/compile-descriptor-set.ts';
import { renewWork } from '#policy/validation/schema/work-budget.ts';
import { shopProto } from '../../../support/shop-proto.ts';

const ALL_KINDS = `syntax = "proto3";
package shop.v1;
message Order {
  int32 a = 1; sint64 b = 2; fixed32 c = 3; double d = 4; bool e = 5; string f = 6; bytes g = 7;
  repeated int32 h = 8; repeated string i = 9; map<string, Order> j = 10; Order k = 11;
  oneof l { uint64 m = 12; Order n = 13; }
  repeated fixed64 o = 16 [packed = false]; Kind p = 2047; repeated Order q = 2048;
}
enum Kind { NONE = 0; SOME = 1; }
service Orders { rpc Place(Order) returns (Order); }
`;
const RUNS = { numRuns: 1_000, seed: 20_261_123, endOnFailure: true };

const shop = await shopProto(ALL_KINDS);
const schema = shop.registry.getMessage('shop.v1.Order');
if (schema === undefined) throw new Error('no Order');
const compiled = compileDescriptorSet(shop.set);
const judge = new DocumentValidators(compiled.units).messages(0);
const type = compiled.operations[0]?.grpc?.request.messageType ?? -1;

function codeOf(bytes: Buffer, unknownProperties: 'Allow' | 'Deny' = 'Allow'): string {
  renewWork();
  return judge.judge(bytes, type, { unknownProperties })?.code ?? 'valid';
}

/** Nested so deep at most. */
function orderOf(depth: number): fc.Arbitrary<object> {
  const scalars = {
    a: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    b: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    c: fc.nat(),
    d: fc.double(),
    e: fc.boolean(),
    f: fc.string({ unit: 'grapheme' }),
    g: fc.uint8Array(),
    h: fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
    i: fc.array(fc.string({ unit: 'grapheme' })),
    o: fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    p: fc.constantFrom(0, 1, 7, -1),
  };
  const number = fc.record({ case: fc.constant('m'), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) });
  if (depth === 0) return fc.record({ ...scalars, l: number }, { requiredKeys: [] });
  const inner = orderOf(depth - 1);
  const nested = {
    j: fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 5 }), inner, { maxKeys: 2 }),
    k: inner,
    l: fc.oneof(number, fc.record({ case: fc.constant('n'), value: inner })),
    q: fc.array(inner, { maxLength: 2 }),
  };
  return fc.record({ ...scalars, ...nested }, { requiredKeys: [] });
}

const bytes = orderOf(2).map((value) => shop.encode('Order', value));

function isRead(message: Uint8Array): boolean {
  try {
    fromBinary(schema as NonNullable<typeof schema>, message);
    return true;
  } catch {
    return false;
  }
}

t.test('no message that a library wrote is refused', (t) => {
  fc.assert(
    fc.property(bytes, (message) => codeOf(message, 'Deny') === 'valid'),
    RUNS,
  );
  t.end();
});

t.test('no message passes, damaged anywhere, that a library cannot read', (t) => {
  const damaged = fc
    .tuple(bytes, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 2 }), fc.nat())
    .map(([message, changes, end]) => {
      const copy = Buffer.from(message);
      for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
      return end % 3 === 0 ? copy.subarray(0, end % (copy.length + 1)) : copy;
    });
  let passed = 0;
  let refused = 0;
  fc.assert(
    fc.property(damaged, (message) => {
      const isValid = codeOf(message) === 'valid';
      if (isValid) passed += 1;
      else refused += 1;
      return !isValid || isRead(message);
    }),
    RUNS,
  );
  t.ok(passed > 100 && refused > 100, `${passed} passed, ${refused} were refused`);
  t.end();
});

t.test('what was read of a message that passes is written as one that passes', (t) => {
  fc.assert(
    fc.property(bytes, (message) => {
      const again = toBinary(
        schema as NonNullable<typeof schema>,
        fromBinary(schema as NonNullable<typeof schema>, message),
      );
      return codeOf(Buffer.from(again), 'Deny') === 'valid';
    }),
    { ...RUNS, numRuns: 200 },
  );
  t.end();
});

t.test('random bytes never pass unread', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 40 }),
      (message) => codeOf(Buffer.from(message)) !== 'valid' || isRead(message),
    ),
    { ...RUNS, numRuns: 20_000 },
  );
  t.end();
});
