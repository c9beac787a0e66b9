import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import t from 'tap';
import { DocumentValidators } from '#policy/validation/instantiate-validators.ts';
import { compileDescriptorSet } from '#policy/validation/protobuf/compile-descriptor-set.ts';
import { loadRules } from '#policy/validation/protobuf/judge-message.ts';
import type { MessagesUnit } from '#policy/validation/protobuf/message-model.ts';
import { MAX_MESSAGE_DEPTH, MessageWalker } from '#policy/validation/protobuf/walk-message.ts';
import { MAX_VALIDATION_WORK, MAX_WORK_HERE, renewWork, WorkExceeded } from '#policy/validation/schema/work-budget.ts';
import { buildDescriptorSet } from '../../../support/descriptor-sets.ts';
import { shopProto } from '../../../support/shop-proto.ts';

type Unknown = 'Deny' | 'Allow';

/** Judges messages of one type by a descriptor set. */
async function judgeOf(set: Buffer, method: string) {
  const compiled = compileDescriptorSet(set);
  t.strictSame(compiled.errors, []);
  await loadRules();
  const judge = new DocumentValidators(compiled.units).messages(0);
  const operation = compiled.operations.find(({ template }) => template === method);
  if (operation?.grpc === undefined) throw new Error(`no method ${method}`);
  const { messageType = -1 } = operation.grpc.request;
  return (bytes: Uint8Array, unknownProperties: Unknown = 'Allow') => {
    renewWork();
    const judged = judge.judge(Buffer.from(bytes), messageType, { unknownProperties });
    return judged === undefined
      ? []
      : judged.details.map(({ pointer, keyword }) => `${judged.code} ${pointer} ${keyword}`);
  };
}

const shop = await shopProto();
const place = await judgeOf(shop.set, '/shop.v1.Orders/Place');
const GOOD = { id: 'a', items: [{ sku: 'ABC-1', quantity: 1 }], totals: { eur: 12n }, kind: 1 };

t.test('messages that satisfy their type and its rules are valid', (t) => {
  t.strictSame(place(shop.encode('Order', GOOD)), []);
  t.strictSame(place(shop.encode('Order', { ...GOOD, replaces: GOOD })), []);
  t.strictSame(place(shop.encode('Order', GOOD), 'Deny'), []);
  t.end();
});

t.test('rules name the field and the rule', (t) => {
  const broken = (more: object) => place(shop.encode('Order', { ...GOOD, ...more }));
  t.strictSame(broken({ id: '' }), ['invalid_body /id string.min_len']);
  t.strictSame(broken({ items: [GOOD.items[0], { sku: 'abc', quantity: 11 }] }), [
    'invalid_body /items/1/sku string.pattern',
    'invalid_body /items/1/quantity int32.gt_lte',
  ]);
  t.strictSame(broken({ replaces: { id: 'b', kind: 7 } }), ['invalid_body /replaces/kind enum.defined_only']);
  t.strictSame(broken({ id: 'no-total', totals: {} }), ['invalid_body  order.total']);
  t.strictSame(place(Buffer.alloc(0)), ['invalid_body /id string.min_len'], 'an empty message is a message');
  t.end();
});

t.test('the place that a rule names is told shortened: keys of maps come from the caller', async (t) => {
  const { set, encode } = await shopProto(`syntax = "proto3";
package shop.v1;
import "buf/validate/validate.proto";
message Order { map<string, string> labels = 1 [(buf.validate.field).map.values.string.min_len = 2]; }
service Orders { rpc Place(Order) returns (Order); }`);
  const judge = await judgeOf(set, '/shop.v1.Orders/Place');
  const told = judge(encode('Order', { labels: { ['k'.repeat(500_000)]: '' } })).join();
  t.match(told, /^invalid_body \/labels\/k+… string.min_len$/);
  t.ok(told.length < 320);
});

t.test('what is not as the type says on the wire is named by its place', (t) => {
  const item = (write: (writer: BinaryWriter) => BinaryWriter) =>
    Buffer.concat([
      shop.encode('Order', GOOD),
      new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(write(new BinaryWriter()).finish()).finish(),
    ]);
  t.strictSame(place(item((writer) => writer.tag(1, WireType.Varint).uint32(1))), [
    'invalid_body /items/1/sku wireType',
  ]);
  t.strictSame(place(item((writer) => writer.tag(1, WireType.LengthDelimited).bytes(Buffer.from([0xff])))), [
    'invalid_body /items/1/sku utf8',
  ]);
  const unknown = item((writer) =>
    writer
      .tag(9, WireType.Bit32)
      .fixed32(1)
      .tag(1, WireType.LengthDelimited)
      .string('ABC-2')
      .tag(2, WireType.Varint)
      .int32(1),
  );
  t.strictSame(place(unknown, 'Deny'), ['unknown_property /items/1/9 unknown']);
  t.strictSame(place(unknown), []);
  t.end();
});

t.test('what no parser reads is malformed', (t) => {
  const bytes = (...values: number[]) => place(Buffer.from(values));
  t.match(bytes(0x0a, 5, 1), [/^malformed_body \/id length$/], 'a false length');
  t.match(bytes(0x0a), [/^malformed_body \/id varint$/]);
  t.match(bytes(0x20), [/^malformed_body \/kind varint$/]);
  t.match(bytes(0x20, ...Array(10).fill(0x80), 1), [/^malformed_body \/kind varint$/], 'a number of 11 bytes');
  t.match(bytes(0x00, 0x00), [/^malformed_body {2}tag$/], 'field 0');
  t.match(bytes(0x0e, 0x00), [/^invalid_body \/id wireType$/]);
  t.match(bytes(0x3e, 0x00), [/^malformed_body {2}wireType$/], 'wire type 6');
  t.match(bytes(0x0c), [/^malformed_body {2}group$/], 'the end of a group that did not begin');
  t.match(bytes(0x3b, 0x08, 0x01), [/^malformed_body {2}group$/], 'a group without an end');
  t.match(bytes(0x3b, 0x44), [/^malformed_body {2}group$/], 'a group that ends as another');
  t.match(bytes(0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0), [/^malformed_body {2}tag$/], 'a tag of over 32 bits');
  t.end();
});

t.test('messages and groups are nested so deep and no deeper', (t) => {
  const nested = (depth: number, tag: number) => {
    let bytes = Buffer.from(shop.encode('Order', { id: 'x' }));
    for (let level = 1; level < depth; level += 1) {
      const length = new BinaryWriter().uint32(bytes.length).finish();
      bytes = Buffer.concat([shop.encode('Order', { id: 'x' }), Buffer.from([tag]), length, bytes]);
    }
    return place(bytes);
  };
  t.strictSame(nested(MAX_MESSAGE_DEPTH, 0x2a), []);
  t.match(nested(MAX_MESSAGE_DEPTH + 1, 0x2a), [/^malformed_body (\/replaces){100} depth$/]);
  const groups = Buffer.alloc(100_000, 0x3b);
  t.match(place(groups), [/^malformed_body {2}depth$/], 'unknown groups too');
  t.end();
});

t.test('proto2: required fields, closed enums, groups, texts that are not UTF-8', async (t) => {
  const set = await buildDescriptorSet({
    'old.proto': `syntax = "proto2";
package old;
enum Color { RED = 1; BLUE = 2; }
message Thing {
  required string name = 1;
  optional Color color = 2;
  repeated group Part = 3 { required int32 size = 4; }
  repeated fixed32 numbers = 5 [packed = true];
}
service Things { rpc Put(Thing) returns (Thing); }
`,
  });
  const put = await judgeOf(set, '/old.Things/Put');
  const bytes = (...values: number[]) => Buffer.from(values);
  const name = [0x0a, 1, 0xff];
  t.strictSame(put(bytes(...name)), []);
  t.strictSame(put(bytes()), ['invalid_body /name required']);
  t.strictSame(put(bytes(...name, 0x10, 3)), []);
  t.strictSame(put(bytes(...name, 0x10, 3), 'Deny'), ['unknown_property /color enum']);
  t.strictSame(put(bytes(...name, 0x1b, 0x20, 1, 0x1c)), []);
  t.strictSame(put(bytes(...name, 0x1b, 0x20, 1, 0x1c, 0x1b, 0x1c)), ['invalid_body /part/1/size required']);
  t.strictSame(put(bytes(...name, 0x2a, 8, 1, 2, 3, 4, 5, 6, 7, 8)), []);
  t.strictSame(put(bytes(...name, 0x2d, 1, 2, 3, 4)), [], 'not packed');
  t.strictSame(put(bytes(...name, 0x2a, 5, 1, 2, 3, 4, 5)), ['malformed_body /numbers/0 length']);
});

t.test('many small fields are more work than one long text: they are judged where nobody waits', async (t) => {
  const { set, encode } = await shopProto(`syntax = "proto2";
package shop.v1;
enum Kind { KIND_UNSPECIFIED = 0; KIND_PLAIN = 1; }
message Order { optional string id = 1; repeated int32 numbers = 2; repeated Kind kinds = 3; repeated Order within = 4; optional group G = 5 {} }
service Orders { rpc Place(Order) returns (Order); }`);
  const compiled = compileDescriptorSet(set);
  const walker = new MessageWalker((compiled.units[0] as MessagesUnit).types);
  const type = compiled.operations[0]?.grpc?.request.messageType ?? -1;
  const fits = (bytes: Buffer, maxWork: number) => {
    renewWork(maxWork);
    try {
      return walker.walk(bytes, type, true).faults.every(({ kind }) => kind === 'unknown');
    } catch (error) {
      if (error instanceof WorkExceeded) return false;
      throw error;
    }
  };
  const packed = new BinaryWriter().tag(3, WireType.LengthDelimited).bytes(new Uint8Array(256 * 1024 - 8));
  const small = {
    numbers: Buffer.alloc(256 * 1024, Buffer.from([0x10, 1])),
    messages: Buffer.alloc(256 * 1024, Buffer.from([0x22, 0])),
    groups: Buffer.alloc(256 * 1024, Buffer.from([0x2b, 0x2c])),
    unknown: Buffer.alloc(256 * 1024, Buffer.from([0x70, 0])),
    'packed enums': Buffer.from(packed.finish()),
  };
  for (const [name, bytes] of Object.entries(small)) {
    t.notOk(fits(bytes, MAX_WORK_HERE), name);
    t.ok(fits(bytes, MAX_VALIDATION_WORK), `${name}: another thread has the time`);
  }
  t.ok(fits(encode('Order', { id: 'x'.repeat(256 * 1024) }), MAX_WORK_HERE), 'one text');
});

t.test('a descriptor set that cannot be used says why', async (t) => {
  const errorsOf = (set: Buffer) => compileDescriptorSet(set).errors;
  t.match(errorsOf(Buffer.from('no descriptor set')), [/is no FileDescriptorSet with all its imports/]);
  t.match(errorsOf(await buildDescriptorSet({ 'a.proto': 'syntax = "proto3"; message A {}' })), [
    /describes no service/,
  ]);
  const { set } = await shopProto(
    'syntax = "proto3"; package shop.v1; import "buf/validate/validate.proto"; message A { string x = 1 [(buf.validate.field).cel = {id: "x", expression: "this >"}]; } message B {} service S { rpc M(A) returns (B); rpc N(B) returns (B); }',
  );
  const compiled = compileDescriptorSet(set);
  t.match(compiled.problems, [/^\/shop\.v1\.S\/M is refused: rules of shop\.v1\.A: /]);
  t.strictSame(
    compiled.operations.map(({ template, unavailable }) => [template, unavailable !== undefined]),
    [
      ['/shop.v1.S/M', true],
      ['/shop.v1.S/N', false],
    ],
  );
});
