import t from 'tap';
import { parse } from 'yaml';
import { compileDocument } from '#policy/validation/openapi/compile-document.ts';
import { reduceDocument } from '#policy/validation/openapi/reduce-document.ts';
import { travellingDocument } from '#policy/validation/travelling-document.ts';
import { githubDescription } from '../../support/github-description.ts';

const DOCUMENT = `openapi: 3.1.0
info: {title: a, version: "1", description: prose, x-owner: us}
tags: [{name: t}]
servers: [{url: /v1, description: prose}]
paths:
  x-internal: {}
  /description:
    summary: prose
    post:
      tags: [t]
      security: []
      operationId: post
      parameters:
        - {name: example, in: query, description: prose, example: 1, schema: {$ref: "#/components/schemas/example"}}
      requestBody:
        content:
          application/json:
            examples: {a: {value: 1}}
            schema: {type: object, title: prose, properties: {description: {type: string, description: prose}, x-y: {type: integer}}}
      responses:
        "200":
          description: prose
          headers: {X-Total: {description: prose, schema: {type: integer, default: 1}}}
          content: {application/json: {schema: {discriminator: {propertyName: kind, mapping: {d: Dog}}, oneOf: [{$ref: "#/components/schemas/a~1b"}]}}}
components:
  examples: {e: {value: 1}}
  securitySchemes: {s: {type: http}}
  schemas:
    example: {enum: [{description: kept}], description: prose}
    a/b: {properties: {next: {$ref: "#/components/schemas/Far"}}}
    Far: {type: integer}
    Dog: {type: object}
    Unused: {type: string}
`;

t.test('what decides stays, everything else goes', async (t) => {
  t.same(JSON.parse(travellingDocument(DOCUMENT)), {
    openapi: '3.1.0',
    info: { title: 'a', version: '1' },
    servers: [{ url: '/v1' }],
    paths: {
      '/description': {
        post: {
          operationId: 'post',
          parameters: [{ name: 'example', in: 'query', schema: { $ref: '#/components/schemas/example' } }],
          requestBody: {
            content: {
              'application/json': {
                schema: { type: 'object', properties: { description: { type: 'string' }, 'x-y': { type: 'integer' } } },
              },
            },
          },
          responses: {
            '200': {
              headers: { 'X-Total': { schema: { type: 'integer' } } },
              content: {
                'application/json': {
                  schema: {
                    discriminator: { propertyName: 'kind', mapping: { d: 'Dog' } },
                    oneOf: [{ $ref: '#/components/schemas/a~1b' }],
                  },
                },
              },
            },
          },
        },
      },
    },
    components: {
      schemas: {
        example: { enum: [{ description: 'kept' }] },
        'a/b': { properties: { next: { $ref: '#/components/schemas/Far' } } },
        Far: { type: 'integer' },
        Dog: { type: 'object' },
      },
    },
  });
});

t.test('prose changes nothing, and what is reduced stays as it is', async (t) => {
  t.equal(travellingDocument(DOCUMENT.replaceAll('prose', 'other words')), travellingDocument(DOCUMENT));
  t.equal(travellingDocument(travellingDocument(DOCUMENT)), travellingDocument(DOCUMENT));
});

t.test('schemas with identifiers may be meant by any reference: none is left out', async (t) => {
  const withIds = DOCUMENT.replace('Unused: {', 'Unused: {$id: "https://a.test/unused", ');
  t.match(JSON.parse(travellingDocument(withIds)), { components: { schemas: { Unused: { type: 'string' } } } });
});

t.test('what cannot be read travels as it is, and is refused where it is compiled', async (t) => {
  t.equal(travellingDocument('openapi: ['), 'openapi: [');
  t.same(reduceDocument(parse('- 1')), [1]);
});

t.test('names that look like prose or extensions are names', async (t) => {
  const content = { 'x-world/x-vrml': { schema: { type: 'string' } } };
  const document = {
    openapi: '3.1.0',
    info: { title: 'a', version: '1' },
    servers: [{ url: '/{tags}', variables: { tags: { default: 'v1', description: 'prose' } } }],
    paths: { '/a': { post: { requestBody: { content }, responses: {} } } },
  };
  t.same(reduceDocument(document), {
    ...document,
    servers: [{ url: '/{tags}', variables: { tags: { default: 'v1' } } }],
  });
});

t.test('what a $ref names stays, wherever it stands', async (t) => {
  const schema = ($ref: string) => ({
    get: { parameters: [{ name: 'a', in: 'query', schema: { $ref } }], responses: {} },
  });
  const document = {
    openapi: '3.0.3',
    info: { title: 'a', version: '1' },
    paths: {
      '/a': schema('#/definitions/A'),
      '/b': schema('#/x-types/list/1'),
      '/c': schema('#/components/schemas/C/x-part'),
      '/d': schema('#/components/examples/D/value'),
      '/e': schema('#/nothing/here'),
    },
    definitions: { A: { $ref: '#/definitions/B' }, B: { type: 'integer' }, Unused: {} },
    'x-types': { list: [{ type: 'string' }, { type: 'integer' }], unused: 1 },
    components: {
      schemas: { C: { type: 'object', 'x-part': { type: 'integer' } } },
      examples: { D: { value: { type: 'integer' } } },
    },
  };
  const reduced = reduceDocument(document);
  t.same(reduced, {
    ...document,
    definitions: { A: { $ref: '#/definitions/B' }, B: { type: 'integer' } },
    'x-types': { list: [{ type: 'string' }, { type: 'integer' }] },
  });
  const compiled = (value: unknown) => compileDocument(JSON.stringify(value), { responses: true });
  t.same(compiled(reduced), compiled(document));
});

t.test("GitHub's description means the same in a tenth of its size", async (t) => {
  const text = await githubDescription();
  const reduced = travellingDocument(text);
  t.ok(reduced.length < text.length / 10, `${reduced.length} characters`);
  const whole = compileDocument(text, { responses: true });
  const less = compileDocument(reduced, { responses: true });
  t.equal(whole.operations.length, 1223);
  t.ok(JSON.stringify(less.operations) === JSON.stringify(whole.operations), 'the same operations');
  t.ok(JSON.stringify(less.units) === JSON.stringify(whole.units), 'the same validators');
});
