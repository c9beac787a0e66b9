import t from 'tap';
import { codeOf, findings, openApi, validationOf } from './validation-of.ts';

function post(content: string, required = true): string {
  return `  /b:\n    post: {requestBody: {required: ${required}, content: {${content}}}}\n`;
}

async function validationFor(content: string, options: { version?: string; spec?: object; required?: boolean } = {}) {
  const { version = '3.1.0', spec = {}, required = true } = options;
  const { validation, problems } = await validationOf(openApi(version, post(content, required)), spec);
  t.same(problems, []);
  return validation;
}

const json = (schema: string) => `application/json: {schema: ${schema}}`;

t.test('a body is held against its schema, with pointer, keyword and message', async (t) => {
  const schema =
    '{type: object, required: [items], additionalProperties: false, properties: {items: {type: array, items: {type: object, properties: {quantity: {type: integer, minimum: 1}}}}}}';
  for (const version of ['3.0.3', '3.1.0']) {
    const validation = await validationFor(json(schema), { version });
    const details = (body: string) => findings(validation, 'POST /b', { body })[0]?.facts.details?.[0];
    t.equal(codeOf(validation, 'POST /b', { body: '{"items":[{"quantity":1}]}' }), 'allowed');
    t.same(details('{"items":[{"quantity":1},{"quantity":0}]}'), {
      in: 'body',
      pointer: '/items/1/quantity',
      keyword: 'minimum',
      message: 'must be >= 1',
      shape: 'integer',
    });
    t.match(details('{}'), { pointer: '', keyword: 'required', message: "must have required property 'items'" });
    t.match(details('{"items":[],"it/ems":1}'), {
      keyword: 'additionalProperties',
      message: 'must NOT have additional properties: "it/ems"',
    });
    t.match(details('[]'), { keyword: 'type' });
    t.equal(findings(validation, 'POST /b', { body: '{}' })[0]?.code, 'invalid_body');
  }
});

t.test('a malformed body is told with its position, and without its content', async (t) => {
  const validation = await validationFor(json('{}'));
  const cases: readonly (readonly [string | Buffer, string])[] = [
    ['{"a":1,}', 'body: expected a key in double quotes at line 1, column 8'],
    ['{\n "a": secret}', 'body: expected a value at line 2, column 7'],
    ['{"a":1', 'body: ends where "," or "}" was expected at line 1, column 7'],
    ['{"a":1,"\\u0061":2}', 'body: duplicate key at line 1, column 8'],
    ['['.repeat(65) + ']'.repeat(65), 'body: nested deeper than limits.jsonDepth 64 at line 1, column 65'],
    [Buffer.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d]), 'body: begins with a byte order mark'],
    [Buffer.from([0x22, 0x61, 0xc0, 0xaf, 0x22]), 'body: is not UTF-8 at byte 3'],
    [Buffer.from([0x22, 0xc3, 0xa9, 0xed, 0xa0, 0x80, 0x22]), 'body: is not UTF-8 at byte 4'],
    [Buffer.from('"é"', 'latin1'), 'body: is not UTF-8 at byte 2'],
    [Buffer.from('{}', 'utf16le'), 'body: expected a key in double quotes at line 1, column 2'],
    ['  ', 'body: ends where a value was expected at line 1, column 3'],
  ];
  for (const [body, reason] of cases) {
    t.match(findings(validation, 'POST /b', { body }), [{ code: 'malformed_body', reason }], reason);
  }
  t.equal(codeOf(validation, 'POST /b', { body: '"😀 é"' }), 'allowed');
});

t.test('the limits of the policy hold', async (t) => {
  const spec = { limits: { bodyBytes: '1Ki', jsonDepth: 2, duplicateKeys: 'Allow' } };
  const validation = await validationFor(json('{}'), { spec });
  t.equal(codeOf(validation, 'POST /b', { body: '[[1]]' }), 'allowed');
  t.equal(codeOf(validation, 'POST /b', { body: '[[[1]]]' }), 'malformed_body');
  t.equal(codeOf(validation, 'POST /b', { body: '{"a":1,"a":2}' }), 'allowed');
  const body = `"${'x'.repeat(1022)}"`;
  t.equal(codeOf(validation, 'POST /b', { body }), 'allowed');
  const wanted = [
    {
      code: 'body_too_large',
      reason: 'body of 1025 bytes exceeds limits.bodyBytes 1024',
      facts: { limit: '1024 bytes' },
    },
  ];
  t.match(findings(validation, 'POST /b', { body: `${body} ` }), wanted);
  t.match(findings(validation, 'POST /b', { body: `${body} `, isChunked: true }), wanted);
});

t.test('content types: case, parameters, wildcards, the most specific first', async (t) => {
  const content =
    'application/json: {schema: {type: object}}, application/*+json: {schema: {type: array}}, "text/*": {}, application/octet-stream: {schema: {type: string, format: binary}}';
  const validation = await validationFor(content);
  const cases: readonly (readonly [string, string, string])[] = [
    ['application/json', '{}', 'allowed'],
    ['Application/JSON; charset=UTF-8', '{}', 'allowed'],
    ['application/json;charset="utf-8"', '{}', 'allowed'],
    ['application/json; charset=latin1', '{}', 'unsupported_media_type'],
    ['application/json; charset=utf-8; charset=utf-16', '{}', 'unsupported_media_type'],
    ['application/json', '[]', 'invalid_body'],
    ['application/problem+json', '[]', 'allowed'],
    ['application/problem+json', '{}', 'invalid_body'],
    ['text/plain', 'any', 'allowed'],
    ['text/plain; charset=latin1', 'any', 'allowed'],
    ['application/octet-stream', '\0', 'allowed'],
    ['application/xml', '<a/>', 'unsupported_media_type'],
    ['application/*', '{}', 'unsupported_media_type'],
    ['application/json, text/plain', '{}', 'unsupported_media_type'],
    ['json', '{}', 'unsupported_media_type'],
    ['', '{}', 'unsupported_media_type'],
  ];
  for (const [type, body, code] of cases) {
    t.equal(codeOf(validation, 'POST /b', { body, headers: ['Content-Type', type] }), code, type);
  }
  t.equal(codeOf(validation, 'POST /b', { body: '{}', headers: [] }), 'unsupported_media_type', 'no type at all');
  const two = ['content-type', 'text/plain', 'content-type', 'application/json'];
  t.equal(codeOf(validation, 'POST /b', { body: '{}', headers: two }), 'unsupported_media_type', 'two types');
});

t.test('what programs read two types or two charsets in is refused', async (t) => {
  const validation = await validationFor('application/json: {schema: {type: object}}');
  const judge = (...types: readonly string[]) =>
    codeOf(validation, 'POST /b', { body: '{}', headers: types.flatMap((type) => ['content-type', type]) });
  for (const parameters of ['; charset="\\u\\tf-8"', ';', ' ; a="x;charset=utf-7"; charset=utf-8', ';a=b;'])
    t.equal(judge(`application/json${parameters}`), 'allowed', parameters);
  for (const parameters of [
    ...[
      '; charset =utf-7',
      '; charset= utf-7',
      '; charset="utf\\-7"',
      "; charset*=us-ascii''utf-7",
      '; charset*0=utf-7',
    ],
    ...[
      '; charset="utf-7;"',
      '; charset=utf-8; Charset=utf-7',
      '; charset',
      '; a="b',
      '; charset=utf-8 x',
      ' charset=utf-8',
    ],
  ])
    t.equal(judge(`application/json${parameters}`), 'unsupported_media_type', parameters);
  t.equal(judge('application/json; x="', 'application/xml; y="'), 'unsupported_media_type', 'two that join to one');
  t.equal(judge('application/json', 'application/json'), 'unsupported_media_type', 'one twice');
});

t.test('a wildcard with a schema takes JSON, and refuses what cannot be held against it', async (t) => {
  const validation = await validationFor('"*/*": {schema: {type: object}}');
  t.equal(codeOf(validation, 'POST /b', { body: '{}' }), 'allowed');
  t.equal(codeOf(validation, 'POST /b', { body: '[]' }), 'invalid_body');
  t.equal(
    codeOf(validation, 'POST /b', { body: '<a/>', headers: ['content-type', 'text/xml'] }),
    'unsupported_media_type',
  );
});

t.test('a coded body is to be decoded where it is read, and streams where not', async (t) => {
  const validation = await validationFor(`${json('{}')}, text/plain: {}`);
  const coded = (type: string, coding: string) =>
    codeOf(validation, 'POST /b', { body: 'x1', headers: ['content-type', type, 'content-encoding', coding] });
  t.equal(coded('application/json', 'compress'), 'unsupported_media_type');
  t.equal(coded('application/json', 'gzip, br'), 'unsupported_media_type');
  t.equal(coded('application/json', 'Identity'), 'malformed_body');
  t.equal(coded('text/plain', 'gzip'), 'allowed');
});

t.test('bodies that are only typed are not held in memory', async (t) => {
  const validation = await validationFor('text/plain: {}', { spec: { limits: { bodyBytes: 10 } } });
  const request = { method: 'POST', path: '/b', query: '', headers: ['content-type', 'text/plain'], hasBody: true };
  t.match(validation.judgeHead({ ...request, contentLength: 10 }), { findings: [], body: undefined });
  t.match(validation.judgeHead({ ...request, contentLength: undefined }), { findings: [], body: undefined });
  t.match(validation.judgeHead({ ...request, contentLength: 11 }), {
    findings: [{ code: 'body_too_large' }],
    body: undefined,
  });
});

t.test('a body may be absent where it is not required, and an empty one is none', async (t) => {
  const optional = await validationFor(json('{type: object}'), { required: false });
  t.equal(codeOf(optional, 'POST /b'), 'allowed');
  t.equal(codeOf(optional, 'POST /b', { headers: [] }), 'allowed');
  t.equal(codeOf(optional, 'POST /b', { isChunked: true }), 'allowed');
  const required = await validationFor(json('{type: object}'));
  t.equal(codeOf(required, 'POST /b'), 'missing_body');
  t.equal(codeOf(required, 'POST /b', { isChunked: true }), 'missing_body');
});

t.test('a JSON type without schema must still be JSON', async (t) => {
  const validation = await validationFor('application/json: {}');
  t.equal(codeOf(validation, 'POST /b', { body: '{"any":[1]}' }), 'allowed');
  t.equal(codeOf(validation, 'POST /b', { body: '{any}' }), 'malformed_body');
});

t.test('a form is an object whose fields have the types of its properties', async (t) => {
  const schema =
    '{type: object, required: [n], additionalProperties: false, properties: {n: {type: integer}, tags: {type: array, items: {type: string}}, ok: {type: boolean}}}';
  const validation = await validationFor(`application/x-www-form-urlencoded: {schema: ${schema}}`);
  const cases: readonly (readonly [string, string])[] = [
    ['n=1&tags=a&tags=b+c&ok=true', 'allowed'],
    ['n=%31', 'allowed'],
    ['n=one', 'invalid_body'],
    ['tags=a', 'invalid_body'],
    ['n=1&x=1', 'invalid_body'],
    ['n=1&n=2', 'malformed_body'],
    ['n=%zz', 'malformed_body'],
    ['%zz=1', 'malformed_body'],
  ];
  for (const [body, code] of cases) {
    t.equal(
      codeOf(validation, 'POST /b', { body, headers: ['content-type', 'application/x-www-form-urlencoded'] }),
      code,
      body,
    );
  }
});

t.test('a field in brackets is no way round the declared one that programs make it a part of', async (t) => {
  const schema =
    '{type: object, properties: {password: {type: string}, "tags[]": {type: array, items: {type: string}}, tags: {type: string}}}';
  const form = 'application/x-www-form-urlencoded';
  const validation = await validationFor(`${form}: {schema: ${schema}}, multipart/form-data: {schema: ${schema}}`);
  const judge = (field: string) => {
    const part = `--B\r\nContent-Disposition: form-data; name="${field}"\r\n\r\nx\r\n--B--`;
    const inParts = codeOf(validation, 'POST /b', {
      body: part,
      headers: ['content-type', 'multipart/form-data; boundary=B'],
    });
    const body = `${encodeURIComponent(field)}=x`;
    return [codeOf(validation, 'POST /b', { body, headers: ['content-type', form] }), inParts];
  };
  for (const field of ['password', 'other', 'other[a]', 'tags[]', '[a]'])
    t.same(judge(field), ['allowed', 'allowed'], field);
  for (const field of ['password[$ne]', 'password[]', 'password[', 'password[a][b]', 'tags[a]'])
    t.same(judge(field), ['malformed_body', 'malformed_body'], field);
});

/** Schema, a body that is valid, one that is not. */
type SchemaCase = readonly [schema: string, valid: string, invalid: string];

const COMMON: readonly SchemaCase[] = [
  ['{type: integer}', '1', '1.5'],
  ['{type: number}', '1.5', '"1.5"'],
  ['{type: string, minLength: 2, maxLength: 2}', '"😀é"', '"😀"'],
  ['{type: string, pattern: "^a+$"}', '"aa"', '"ab"'],
  ['{type: string, format: date-time}', '"2024-02-29T12:00:00Z"', '"2023-02-29T12:00:00Z"'],
  ['{type: string, format: date}', '"2024-02-29"', '"2024-02-30"'],
  ['{type: string, format: uuid}', '"6fa459ea-ee8a-3ca4-894e-db77e160355e"', '"6fa459ea"'],
  ['{type: string, format: email}', '"a@b.example"', '"a"'],
  ['{type: string, format: byte}', '"aGk="', '"!!!\\naGk="'],
  ['{type: integer, format: int32}', '2147483647', '2147483648'],
  ['{type: integer, format: int64}', '9223372036854775807', '9223372036854785808'],
  ['{type: number, multipleOf: 0.01}', '19.99', '19.999'],
  ['{enum: [a, 1, {b: 2}]}', '{"b":2}', '"1"'],
  ['{type: array, uniqueItems: true}', '[1,"1",[1],{"a":1,"b":2}]', '[{"a":1,"b":2},{"b":2,"a":1}]'],
  ['{type: object, minProperties: 1}', '{"a":1}', '{}'],
  ['{type: object, required: [toString]}', '{"toString":1}', '{}'],
  ['{type: object, properties: {constructor: {type: integer}}}', '{}', '{"constructor":"x"}'],
  ['{type: object, additionalProperties: false}', '{}', '{"__proto__":1}'],
  ['{type: object, additionalProperties: {type: integer}}', '{"a":1}', '{"a":"x"}'],
  ['{allOf: [{type: object, required: [a]}, {required: [b]}]}', '{"a":1,"b":1}', '{"a":1}'],
  ['{oneOf: [{type: integer}, {type: number, minimum: 5}]}', '3', '7'],
  ['{not: {type: integer}}', '"x"', '3'],
  ['{$ref: "#/components/schemas/Tree"}', '{"child":{"child":{}}}', '{"child":{"child":1}}'],
  ['{$ref: "#/components/schemas/a~1b%25"}', 'true', '1'],
  [
    '{type: object, discriminator: {propertyName: kind}, oneOf: [{$ref: "#/components/schemas/Tree"}]}',
    '{"kind":"Tree"}',
    '{"child":1}',
  ],
];
const ONLY_3_0: readonly SchemaCase[] = [
  ['{type: string, nullable: true}', 'null', '1'],
  ['{type: string}', '"a"', 'null'],
  ['{type: string, nullable: true, enum: [a, null]}', 'null', '"b"'],
  ['{type: integer, minimum: 1, exclusiveMinimum: true}', '2', '1'],
  ['{type: integer, maximum: 9, exclusiveMaximum: false}', '9', '10'],
  ['{$ref: "#/components/schemas/Tree", required: [x]}', '{}', '1'],
  [
    '{type: object, required: [id, name], properties: {id: {type: string, readOnly: true}, name: {type: string}}}',
    '{"name":"x"}',
    '{"id":"x"}',
  ],
];
const ONLY_3_1: readonly SchemaCase[] = [
  ['{type: [string, "null"]}', 'null', '1'],
  ['{type: string, nullable: true}', '"a"', 'null'],
  ['{exclusiveMinimum: 1}', '2', '1'],
  ['{const: {a: [1]}}', '{"a":[1]}', '{"a":[2]}'],
  ['{if: {type: string}, then: {minLength: 2}, else: {type: integer}}', '1', '"a"'],
  ['{prefixItems: [{type: integer}], items: false}', '[1]', '[1,2]'],
  ['{contains: {type: integer}, maxContains: 1}', '["a",1]', '[1,2]'],
  ['{patternProperties: {"^x-": {type: integer}}, additionalProperties: false}', '{"x-a":1}', '{"x-a":"b"}'],
  ['{propertyNames: {maxLength: 1}}', '{"a":1}', '{"ab":1}'],
  ['{dependentRequired: {a: [b]}}', '{"b":1}', '{"a":1}'],
  ['{allOf: [{properties: {a: {}}}], unevaluatedProperties: false}', '{"a":1}', '{"b":1}'],
  ['{$ref: "#/components/schemas/Tree", required: [x]}', '{"x":1}', '{}'],
  ['{$ref: "https://shop.example/schemas/flag"}', 'true', '1'],
  ['{$ref: "https://shop.example/schemas/flag#count"}', '1', 'true'],
  ['{$ref: "https://shop.example/schemas/other"}', '5', '"x"'],
  ['true', '1', ''],
];
const COMPONENTS = `components:
  schemas:
    Tree: {type: object, properties: {child: {$ref: "#/components/schemas/Tree"}}}
    "a/b%": {type: boolean}
`;
const COMPONENTS_3_1 = `${COMPONENTS}    Flag: {$id: "https://shop.example/schemas/flag", type: boolean, $defs: {n: {$anchor: count, type: integer}}}
    Other: {$id: "https://shop.example/schemas/other", $ref: "flag#count"}
    Sample: {example: {$id: 7, id: x}, default: {$ref: nowhere}}
`;

for (const [version, cases, components] of [
  ['3.0.3', [...COMMON, ...ONLY_3_0], COMPONENTS],
  ['3.1.0', [...COMMON, ...ONLY_3_1], COMPONENTS_3_1],
] as const) {
  t.test(`${version}: keywords mean what the version says`, async (t) => {
    for (const [schema, valid, invalid] of cases) {
      const { validation, problems } = await validationOf(openApi(version, post(json(schema))) + components);
      t.same(problems, [], schema);
      t.equal(codeOf(validation, 'POST /b', { body: valid }), 'allowed', `${schema} takes ${valid}`);
      if (invalid === '') continue;
      t.equal(codeOf(validation, 'POST /b', { body: invalid }), 'invalid_body', `${schema} refuses ${invalid}`);
    }
  });
}

t.test('a judgement knows nothing of those before it', async (t) => {
  const validation = await validationFor(json('{type: object, required: [a]}'));
  for (let round = 0; round < 3; round++) {
    t.equal(codeOf(validation, 'POST /b', { body: '{}' }), 'invalid_body');
    t.equal(codeOf(validation, 'POST /b', { body: '{"a":1}' }), 'allowed');
    t.equal(codeOf(validation, 'POST /b', { body: '{"a":1,"a":1}' }), 'malformed_body');
  }
});

t.test('a text is held against the schema of its type', async (t) => {
  const validation = await validationFor(
    'text/plain: {schema: {type: string, maxLength: 3}}, text/csv: {schema: {type: integer, maximum: 9}}',
  );
  const judge = (body: string | Buffer, type = 'text/plain') =>
    codeOf(validation, 'POST /b', { body, headers: ['content-type', type] });
  t.equal(judge('abc'), 'allowed');
  t.equal(judge('äöü'), 'allowed');
  t.equal(judge('abcd'), 'invalid_body');
  t.equal(judge(Buffer.from([0xff])), 'malformed_body');
  t.equal(judge('abc', 'text/plain; charset=us-ascii'), 'allowed');
  t.equal(judge('abc', 'text/plain; charset=utf-16'), 'unsupported_media_type');
  t.equal(judge('7', 'text/csv'), 'allowed');
  t.equal(judge('70', 'text/csv'), 'invalid_body');
  t.equal(judge('x', 'text/csv'), 'invalid_body');
});
