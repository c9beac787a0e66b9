import t from 'tap';
import { findings, openApi, validationOf } from './validation-of.ts';

const PET = 'oneOf: [{$ref: "#/components/schemas/Cat"}, {$ref: "#/components/schemas/Dog"}]';
const COMPONENTS = `components:
  schemas:
    Cat: {type: object, required: [kind], properties: {kind: {type: string}, lives: {type: integer}}}
    Dog: {type: object, required: [kind], properties: {kind: {type: string}, friend: {$ref: "#/components/schemas/Pet"}}}
    Pet: {PET}
`;

async function judge(version: string, pet: string, value: unknown): Promise<string> {
  const body =
    '  /a:\n    post: {requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}}\n';
  const { validation, problems } = await validationOf(openApi(version, body) + COMPONENTS.replace('PET', pet));
  t.same(problems, []);
  const [finding] = findings(validation, 'POST /a', { body: JSON.stringify(value) });
  const [detail] = finding?.facts.details ?? [];
  return detail === undefined ? 'allowed' : `${detail.pointer} ${detail.keyword}`;
}

for (const version of ['3.0.3', '3.1.0']) {
  for (const [kind, more] of [
    ['linked', ''],
    ['evaluated', ', unevaluatedItems: true'],
  ] as const) {
    if (kind === 'evaluated' && version === '3.0.3') continue;
    t.test(`${version}, ${kind}: the discriminator says which alternative holds`, async (t) => {
      const pet = `${PET}, discriminator: {propertyName: kind, mapping: {cat: Cat, dog: "#/components/schemas/Dog"}}${more}`;
      const code = (value: unknown) => judge(version, pet, value);
      t.equal(await code({ kind: 'cat', lives: 9 }), 'allowed');
      t.equal(await code({ kind: 'dog', friend: { kind: 'cat', lives: 9 } }), 'allowed');
      t.equal(await code({ kind: 'Cat', lives: 9 }), 'allowed', 'the name of the schema counts beside the mapping');
      t.equal(await code({ kind: 'cat', lives: 'x' }), '/lives type', 'a dog would have passed');
      t.equal(await code({ kind: 'dog', friend: { kind: 'cat', lives: 'x' } }), '/friend/lives type');
      t.equal(await code({ kind: 'cow' }), '/kind discriminator');
      t.equal(await code({ kind: 1 }), '/kind discriminator');
      t.equal(await code({ lives: 9 }), ' discriminator');
      t.equal(await code([]), ' discriminator');
      t.equal(await code({ kind: '__proto__' }), '/kind discriminator');
    });
  }
}

t.test('ten thousand alternatives cost what two do', async (t) => {
  const names = Array.from({ length: 10_000 }, (_, index) => `S${index}`);
  const schemas = Object.fromEntries(
    names.map((name) => [
      name,
      { type: 'object', required: ['kind', name], properties: { [name]: { type: 'integer' } } },
    ]),
  );
  const oneOf = names.map((name) => ({ $ref: `#/components/schemas/${name}` }));
  const schema = { type: 'array', items: { oneOf, discriminator: { propertyName: 'kind' } } };
  const document = {
    openapi: '3.1.0',
    info: { title: 't', version: '1' },
    paths: { '/a': { post: { requestBody: { content: { 'application/json': { schema } } } } } },
    components: { schemas },
  };
  const started = performance.now();
  const { validation } = await validationOf(JSON.stringify(document));
  t.comment(`compiled in ${Math.round(performance.now() - started)} ms`);
  const body = JSON.stringify(names.slice(0, 1000).map((name) => ({ kind: name, [name]: 1 })));
  const begun = performance.now();
  t.same(findings(validation, 'POST /a', { body }), []);
  t.comment(`a thousand items in ${Math.round(performance.now() - begun)} ms`);
  const wrong = JSON.stringify([{ kind: 'S7', S8: 1 }]);
  t.match(findings(validation, 'POST /a', { body: wrong })[0]?.facts.details, [{ pointer: '/0', keyword: 'required' }]);
});
