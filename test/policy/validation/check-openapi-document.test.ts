import t from 'tap';
import { MAX_SCHEMA_DOCUMENT_BYTES } from '#policy/resource/kinds/api-schema.ts';
import { checkOpenApiDocument } from '#policy/validation/openapi/check-openapi-document.ts';
import { openApi } from './validation-of.ts';

function shown(text: string): readonly string[] {
  return checkOpenApiDocument(text).map(
    ({ line, column, severity, code, message }) => `${line}:${column} ${severity} ${code} ${message}`,
  );
}

t.test('says nothing about a good document, in YAML or JSON', async (t) => {
  const yaml = openApi(
    '3.1.0',
    '  /a/{id}:\n    get: {parameters: [{name: id, in: path, required: true, schema: {type: string}}]}\n',
  );
  t.same(shown(yaml), []);
  t.same(shown('{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{"/a":{"get":{}}}}'), []);
  t.same(shown('openapi: 3.1.0\ninfo: {title: t, version: "1"}\n'), [], 'paths are optional in 3.1');
});

t.test('tells the position of what makes a document unusable', async (t) => {
  const cases: readonly (readonly [string, string, readonly RegExp[]])[] = [
    ['version', 'openapi: 3.2.0\npaths: {}\n', [/^1:10 error unsupported_version OpenAPI 3.2.0/]],
    ['number', 'openapi: 3.0\npaths: {}\n', [/^1:10 error unsupported_version openapi must be a string/]],
    ['swagger', 'swagger: "2.0"\npaths: {}\n', [/^1:1 error unsupported_version Swagger 2.0/]],
    ['no paths in 3.0', 'openapi: 3.0.0\n', [/^1:1 error missing_field/]],
    ['not a mapping', '- 1\n', [/^1:1 error invalid_type/]],
    ['empty', '', [/error invalid_type/]],
    ['syntax', 'openapi: 3.1.0\npaths: {\n', [/^\d:\d+ error yaml_syntax/]],
    ['duplicate key', openApi('3.1.0', '  /a: {}\n  /a: {}\n'), [/^5:3 error duplicate_key duplicate key \/a/]],
    ['duplicate key in JSON', '{"openapi":"3.1.0","paths":{"/a":{},"/a":{}}}', [/^1:37 error duplicate_key/]],
    ['path', openApi('3.1.0', '  a: {}\n'), [/^4:3 error invalid_path/]],
    ['braces', openApi('3.1.0', '  /a/{b: {}\n'), [/^4:3 error invalid_path/]],
    ['parameter twice', openApi('3.1.0', '  /{a}/{a}: {}\n'), [/error invalid_path .*twice/]],
    ['side by side', openApi('3.1.0', '  /{a}{b}: {}\n'), [/error invalid_path .*side by side/]],
    [
      'ambiguous',
      openApi(
        '3.1.0',
        '  /a/{x}:\n    get: {parameters: [{name: x, in: path, required: true, schema: {}}]}\n  /a/{y}:\n    get: {parameters: [{name: y, in: path, required: true, schema: {}}]}\n',
      ),
      [/^7:5 error ambiguous_template GET \/a\/\{y\} matches the same requests as GET \/a\/\{x\}/],
    ],
    [
      'undeclared',
      openApi('3.1.0', '  /a/{x}:\n    get: {}\n'),
      [/^5:5 error undeclared_path_parameter path parameter x/],
    ],
    [
      'unused',
      openApi('3.1.0', '  /a:\n    get:\n      parameters: [{name: x, in: path, required: true, schema: {}}]\n'),
      [/^5:5 warning unused_path_parameter/],
    ],
    [
      'operationId',
      openApi('3.1.0', '  /a:\n    get: {operationId: x}\n    put: {operationId: x}\n'),
      [/^6:24 error duplicate_operation_id operationId x is also that of \/a get/],
    ],
    ['method', openApi('3.1.0', '  /a:\n    GET: {}\n'), [/^5:5 error unknown_field unknown field GET/]],
    [
      'parameter in',
      openApi('3.1.0', '  /a:\n    get:\n      parameters: [{name: x, in: body, schema: {}}]\n'),
      [/^6:20 error invalid_schema a parameter is in path/],
    ],
    [
      'parameter listed twice',
      openApi(
        '3.1.0',
        '  /a:\n    get:\n      parameters: [{name: x, in: query, schema: {}}, {name: x, in: query, schema: {}}]\n',
      ),
      [/^6:54 error invalid_schema parameter x in query twice/],
    ],
    [
      'broken parameter reference',
      openApi('3.1.0', '  /a:\n    parameters: [{$ref: "#/components/parameters/x"}]\n'),
      [/^5:25 error invalid_schema \$ref .* leads nowhere/],
    ],
    [
      'outside',
      openApi('3.1.0', '  /a: {$ref: "other.yaml#/a"}\n'),
      [/^4:14 error invalid_schema .*nothing is fetched/],
    ],
    ['circle', openApi('3.1.0', '  /a: {$ref: "#/paths/~1a"}\n'), [/more than 32 \$refs/]],
    [
      'dialect',
      'openapi: 3.1.0\njsonSchemaDialect: "http://json-schema.org/draft-07/schema#"\npaths: {}\n',
      [/^2:20 error unsupported_dialect/],
    ],
    ['server', 'openapi: 3.1.0\nservers: [{url: "http://[bad"}]\npaths: {}\n', [/^2:10 error invalid_server/]],
  ];
  for (const [name, text, wanted] of cases) {
    const found = shown(text);
    t.equal(found.length, wanted.length, `${name}: one problem`);
    for (const [index, pattern] of wanted.entries()) t.match(found[index], pattern, name);
  }
});

t.test('only warns of a schema that cannot be checked: its operation is refused, the others are not', async (t) => {
  const body = (schema: string) =>
    openApi('3.0.3', `  /a:\n    post:\n      requestBody: {content: {application/json: {schema: ${schema}}}}\n`);
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      '{type: strin}',
      /^6:65 warning schema_unavailable POST \/a with application\/json is refused: type "strin" is not one/,
    ],
    ['{type: [string, "nil"]}', /type .* is not one of OpenAPI 3.0/],
    ['{const: 3}', /keyword const is not of OpenAPI 3.0/],
    ['{pattern: "a(b"}', /^6:68 warning schema_unavailable .*cannot be compiled: Invalid regular expression/],
    ['{$ref: "#/components/schemas/Missing"}', /leads nowhere/],
    ['{$ref: "http://elsewhere.example/schema.json"}', /nothing is fetched/],
    ['{maxLength: -1}', /maxLength must be a whole number/],
    ['{properties: {a: {items: [1]}}}', /expected a schema/],
  ];
  for (const [schema, wanted] of cases) {
    const found = shown(body(schema));
    t.equal(found.length, 1);
    t.match(found[0], wanted);
  }
});

t.test('lists what is not enforced, by its place: patterns, and each unknown format once', async (t) => {
  const found = shown(
    openApi(
      '3.1.0',
      `  /a:
    post:
      requestBody:
        content:
          application/json:
            schema:
              properties:
                a: {pattern: "a(?=b)"}
                b: {format: colour}
                c: {format: colour}
                d: {format: uuid}
`,
    ),
  );
  t.equal(found.length, 2);
  t.match(found[0], /^11:\d+ warning pattern_not_enforceable pattern "a\(\?=b\)" cannot be enforced: has a lookaround/);
  t.match(found[1], /^12:\d+ warning format_not_enforced format "colour" is not one that is known/);
});

t.test('refuses a document beyond its bounds unread', async (t) => {
  t.match(shown(`openapi: 3.1.0\n#${'x'.repeat(MAX_SCHEMA_DOCUMENT_BYTES)}`), [/^1:1 error document_too_large/]);
  const bomb = `openapi: 3.1.0\na: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
    .split('')
    .map((name, index) => `${name}: &${name} [${Array(10).fill(`*${'abcdefgh'[index]}`).join()}]\n`)
    .join('')}`;
  t.match(shown(bomb), [/error yaml_bomb/]);
  t.match(shown(`openapi: 3.1.0\npaths: ${'['.repeat(500)}${']'.repeat(500)}`), [/error yaml_too_deep/]);
});
