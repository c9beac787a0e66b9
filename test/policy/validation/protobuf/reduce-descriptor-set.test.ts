import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import { compileDescriptorSet } from '#policy/validation/protobuf/compile-descriptor-set.ts';
import { reduceDescriptorSet } from '#policy/validation/protobuf/reduce-descriptor-set.ts';
import { descriptorSetOf, travellingDescriptorSet } from '#policy/validation/travelling-document.ts';
import { SHOP_PROTO, shopProto } from '../../../support/shop-proto.ts';

const { set } = await shopProto(`// A comment that means nothing to a validator.\n${SHOP_PROTO}`);

t.test('all is left but what the sources were like', (t) => {
  const expected = fromBinary(FileDescriptorSetSchema, set);
  t.ok(expected.file.some(({ sourceCodeInfo }) => sourceCodeInfo !== undefined));
  for (const file of expected.file) delete file.sourceCodeInfo;
  const reduced = reduceDescriptorSet(set);
  t.strictSame(
    Buffer.from(toBinary(FileDescriptorSetSchema, fromBinary(FileDescriptorSetSchema, reduced))),
    Buffer.from(toBinary(FileDescriptorSetSchema, expected)),
  );
  t.ok(reduced.length < set.length);
  t.notMatch(reduced.toString('latin1'), /A comment/);
  t.end();
});

t.test('what cannot be read is left for whoever says why', (t) => {
  for (const bytes of [[0x0a, 9, 1], [0x0a], [0xff], [0x0b], [0x0a, 2, 0x4a, 5]]) {
    t.strictSame(reduceDescriptorSet(Buffer.from(bytes)), Buffer.from(bytes));
  }
  t.end();
});

t.test('a set travels small, and is the same to a validator', (t) => {
  const travelling = travellingDescriptorSet(set.toString('base64'));
  t.ok((travelling.brotli ?? '').length < set.length / 3, `${travelling.brotli?.length} of ${set.length}`);
  const [there, here] = [descriptorSetOf(travelling), set].map(compileDescriptorSet);
  t.same(there?.operations, here?.operations);
  t.same(there?.units, here?.units);
  t.end();
});
