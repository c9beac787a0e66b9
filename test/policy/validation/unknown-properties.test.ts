import t from 'tap';
import { findings, openApi, validationOf } from './validation-of.ts';

function document(schema: string, components = ''): string {
  const paths = `  /a:\n    post: {operationId: a, requestBody: {required: true, content: {application/json: {schema: ${schema}}}}}\n`;
  return `${openApi('3.1.0', paths)}${components}`;
}

const COMPONENTS = `components:
  schemas:
    Base: {type: object, required: [kind], properties: {kind: {type: string}}}
    Cat: {allOf: [{$ref: "#/components/schemas/Base"}, {properties: {lives: {type: integer}}}]}
    Dog: {allOf: [{$ref: "#/components/schemas/Base"}, {properties: {friend: {$ref: "#/components/schemas/Pet"}}}]}
    Pet: {anyOf: [{$ref: "#/components/schemas/Cat"}, {$ref: "#/components/schemas/Dog"}]}
`;

async function unknown(schema: string, body: unknown, choice = 'Deny', components = ''): Promise<readonly string[]> {
  const { validation, problems } = await validationOf(document(schema, components), {
    request: { unknownProperties: choice },
  });
  t.same(problems, []);
  const found = findings(validation, 'POST /a', { body: JSON.stringify(body) });
  return found.flatMap(({ effect, code, facts }) =>
    (facts.details ?? []).map(({ pointer, keyword }) => `${effect} ${code} ${pointer} ${keyword}`),
  );
}

t.test('a property that no branch declares is unknown, at any depth', async (t) => {
  const object =
    '{type: object, properties: {a: {type: object, properties: {b: {}}}, list: {items: {properties: {c: {}}}}}}';
  t.same(await unknown(object, { a: { b: 1 }, list: [{ c: 1 }, { c: { any: 1 } }] }), []);
  t.same(await unknown(object, { x: 1, a: { b: 1, y: 2 }, list: [{}, { 'z/': 1 }] }), [
    'refuse unknown_property /x unknown',
    'refuse unknown_property /a/y unknown',
    'refuse unknown_property /list/1/z~1 unknown',
  ]);
  t.same(await unknown(object, { x: 1 }, 'Report'), ['audit unknown_property /x unknown']);
  t.same(await unknown(object, { x: 1 }, 'Allow'), []);
});

t.test('names of all branches are declared, also through references and circles', async (t) => {
  const pet = '{$ref: "#/components/schemas/Pet"}';
  const friend = { kind: 'dog', friend: { kind: 'cat', lives: 9, friend: { kind: 'x' } } };
  t.same(await unknown(pet, friend, 'Deny', COMPONENTS), []);
  t.same(await unknown(pet, { ...friend, isAdmin: true }, 'Deny', COMPONENTS), [
    'refuse unknown_property /isAdmin unknown',
  ]);
  t.same(await unknown(pet, { kind: 'a', friend: { kind: 'b', role: 1 } }, 'Deny', COMPONENTS), [
    'refuse unknown_property /friend/role unknown',
  ]);
});

t.test('what allows others expressly is open', async (t) => {
  for (const schema of [
    '{type: object}',
    '{type: object, properties: {a: {}}, additionalProperties: true}',
    '{type: object, properties: {a: {}}, additionalProperties: {type: integer}}',
    '{type: object, properties: {a: {}}, patternProperties: {"^b": {}}}',
    '{type: object, properties: {a: {}}, anyOf: [{additionalProperties: {}}]}',
  ]) {
    t.same(await unknown(schema, { a: 1, x: 1 }), [], schema);
  }
  t.same(await unknown('{properties: {a: {}}, additionalProperties: false}', { x: 1 }), [
    'refuse invalid_body  additionalProperties',
  ]);
});

t.test('an override asks for one operation alone', async (t) => {
  const { validation } = await validationOf(document('{properties: {a: {}}}'), {
    overrides: [{ operationId: 'a', request: { unknownProperties: 'Deny' } }],
  });
  t.equal(findings(validation, 'POST /a', { body: '{"x":1}' })[0]?.code, 'unknown_property');
});
