import t from 'tap';
import {
  apiSchemaKind,
  MAX_INLINE_SCHEMA_BYTES,
  travellingApiSchema,
  travellingApiSchemaKind,
} from '#policy/resource/kinds/api-schema.ts';
import { apiValidationPolicyKind } from '#policy/resource/kinds/api-validation-policy.ts';
import { textContext } from '#policy/schema/document-context.ts';
import type { Schema } from '#policy/schema/schema.ts';

function read<T>(
  schema: Schema<T>,
  value: unknown,
): { readonly value: T | undefined; readonly reasons: readonly string[] } {
  const reasons: string[] = [];
  return { value: schema.read(value, [], textContext(reasons, 'spec')), reasons };
}

t.test('an APIValidationPolicy has the defaults of the contract', async (t) => {
  t.same(read(apiValidationPolicyKind.spec, { schemaRefs: ['orders'] }), {
    reasons: [],
    value: {
      selector: undefined,
      targetRef: undefined,
      targetRefs: undefined,
      schemaRefs: ['orders'],
      mode: 'Audit',
      request: {
        body: 'Strict',
        unknownParameters: 'Deny',
        unknownProperties: 'Allow',
        unenforceable: 'Deny',
        undocumented: 'Deny',
      },
      response: { body: 'Off', undeclaredStatus: 'Off', headers: 'Off' },
      limits: { bodyBytes: 1048576, fileBytes: 0, jsonDepth: 64, duplicateKeys: 'Deny', inexactIntegers: 'Allow' },
      webhooks: [],
      grpc: { methods: undefined, exempt: [] },
      fieldDetails: { principals: [], namespaces: [] },
      graphql: undefined,
      overrides: [],
    },
  });
});

t.test('byte sizes are numbers or quantities', async (t) => {
  const bytes = (bodyBytes: unknown) =>
    read(apiValidationPolicyKind.spec, { schemaRefs: ['a'], limits: { bodyBytes } });
  for (const [given, wanted] of [
    [100, 100],
    ['100', 100],
    ['1k', 1000],
    ['1Ki', 1024],
    ['1.5Mi', 1572864],
    ['64Mi', 67108864],
  ] as const) {
    t.equal(bytes(given).value?.limits.bodyBytes, wanted, String(given));
  }
  for (const given of ['1mb', '1 Mi', '-1', '1.0001k', 1.5, true, '65Mi', '1Ti', ''])
    t.equal(bytes(given).reasons.length, 1, String(given));
});

t.test('what is not implemented is an error, never ignored', async (t) => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ response: { body: 'audit' } }, /did you mean Audit/],
    [{ overrides: [{ request: { body: 'Skip' } }] }, /expected either operationId, or path/],
    [{ overrides: [{ operationId: 'a', path: '/a' }] }, /expected either operationId, or path/],
    [{ overrides: [{ method: 'GET' }] }, /expected either operationId, or path/],
    [{ request: { unknownProperties: 'Forbid' } }, /Deny, Report, Allow/],
    [{ graphql: { maxDepth: 8 } }, /graphql is not implemented/],
    [{ overrides: [{ operationId: 'a', request: { undocumented: 'Allow' } }] }, /unknown field undocumented/],
    [{ mode: 'enforce' }, /did you mean Enforce/],
    [{ limits: { jsonDepth: 1000 } }, /outside of 1 to 512/],
    [{ schemaRefs: [] }, /at least 1/],
  ];
  for (const [more, wanted] of cases) {
    const { reasons } = read(apiValidationPolicyKind.spec, { schemaRefs: ['orders'], ...more });
    t.equal(reasons.length, 1);
    t.match(reasons[0], wanted);
  }
});

t.test('an APISchema names one document, which travels as its text', async (t) => {
  const source = (openapi: unknown) => read(apiSchemaKind.spec, { openapi });
  t.same(source({ file: 'a.yaml' }).reasons, []);
  t.match(source({}).reasons, [/exactly one of file, inline and configMapRefs/]);
  t.match(source({ file: 'a', inline: 'b' }).reasons, [/exactly one of file, inline and configMapRefs/]);
  t.match(source({ file: 'a', configMapRefs: [{ name: 'a', key: 'b' }] }).reasons, [/exactly one of/]);
  t.strictSame(source({ configMapRefs: [{ name: 'a', key: 'b.yaml' }] }).reasons, []);
  t.match(source({ configMapRefs: [{ name: 'a', key: 'b/c' }] }).reasons, [/is not a key of a ConfigMap/]);
  t.match(source({ configMapRefs: [] }).reasons, [/at least 1/]);
  t.match(source({ inline: 'x'.repeat(MAX_INLINE_SCHEMA_BYTES + 1) }).reasons, [/exceed/]);
  t.match(source({ inline: { a: 'x'.repeat(MAX_INLINE_SCHEMA_BYTES) } }).reasons, [
    /exceeds the limit.*put it in a file/,
  ]);
  t.match(source({ inline: 5 }).reasons, [/as text or as a mapping/]);
  t.match(read(apiSchemaKind.spec, { openapi: { file: 'a' }, protoDescriptorSet: { file: 'b' } }).reasons, [
    /exactly one of openapi and protoDescriptorSet/,
  ]);
  t.match(read(apiSchemaKind.spec, { lifecycle: {} }).reasons, [/exactly one of openapi and protoDescriptorSet/]);
  t.match(read(apiSchemaKind.spec, { protoDescriptorSet: { inline: 'a b' } }).reasons, [/in base64/]);
  for (const sunset of ['2027-13-01', 'tomorrow', '2027-06-30T12:00:00Z', '1']) {
    const given = { openapi: { file: 'a' }, lifecycle: { sunset } };
    t.match(read(apiSchemaKind.spec, given).reasons, [/is not a date/], sunset);
  }
  t.match(read(apiSchemaKind.spec, { openapi: { file: 'a' }, graphql: {} }).reasons, [
    /a GraphQL schema is not implemented/,
  ]);

  const file = source({ file: 'a.yaml' }).value;
  const mapping = source({ inline: { openapi: '3.1.0' } }).value;
  const text = source({ inline: 'openapi: 3.1.0' }).value;
  if (file === undefined || mapping === undefined || text === undefined) throw new Error('not read');
  const large = `openapi: 3.1.0 #${'x'.repeat(MAX_INLINE_SCHEMA_BYTES)}`;
  t.same(travellingApiSchema(file, large), { openapi: { inline: large } });
  t.same(travellingApiSchema(mapping), { openapi: { inline: '{"openapi":"3.1.0"}' } });
  t.same(travellingApiSchema(text), { openapi: { inline: 'openapi: 3.1.0' } });
  const set = read(apiSchemaKind.spec, {
    protoDescriptorSet: { inline: 'CgA=' },
    lifecycle: { state: 'Deprecated', sunset: '2027-06-30' },
  });
  t.same(set.reasons, []);
  if (set.value === undefined) throw new Error('not read');
  t.same(travellingApiSchema(set.value), {
    protoDescriptorSet: { inline: 'CgA=' },
    lifecycle: { state: 'Deprecated', sunset: '2027-06-30' },
  });
  t.same(
    read(travellingApiSchemaKind.spec, { openapi: { inline: large } }).reasons,
    [],
    'larger than what a person may write inline',
  );
  t.same(read(travellingApiSchemaKind.spec, { openapi: { brotli: 'CgA=' } }).reasons, []);
  t.match(read(travellingApiSchemaKind.spec, { openapi: { brotli: 'CgA=', inline: 'a' } }).reasons, [/exactly one/]);
  t.match(source({ brotli: 'CgA=' }).reasons, [/unknown field brotli/, /exactly one/], 'nobody writes it');
});
