import t from 'tap';
import { MAX_SCHEMA_DOCUMENT_BYTES } from '#policy/resource/kinds/api-schema.ts';
import { checkOpenApiDocument } from '#policy/validation/openapi/check-openapi-document.ts';
import { readDocumentText } from '#policy/validation/openapi/openapi-text.ts';
import { githubDescription } from '../../support/github-description.ts';
import { codeOf, openApi, responseFindings, validationOf } from './validation-of.ts';

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

const RESPONSES = (version: string, schema: string) =>
  openApi(
    version,
    `  /a:
    post:
      requestBody: {content: {application/json: {schema: {type: object}}}}
      responses:
        "200": {headers: {X-Rate: {schema: ${schema}}}}
        "404": &error
          content:
            application/json: {schema: {$ref: "#/components/schemas/Fault"}}
        4XX: *error
        "299": {description: fine, content: {text/event-stream: {schema: {type: object}}}}
        2xx: {description: no range}
  /b:
    get: {responses: {default: *error}}
components: {schemas: {Fault: {properties: {at: {$ref: "#/components/schemas/Place"}}}, Place: {type: strin}}}
`,
  );

for (const version of ['3.0.3', '3.1.0']) {
  t.test(
    `${version}: faults of responses are told, each once, and the requests are not refused for them`,
    async (t) => {
      const text = RESPONSES(version, '{maxLength: -1}');
      const asked = 'cannot be checked; refused where responses are enforced:';
      const found = shown(text);
      t.equal(found.length, 4);
      t.match(found, [
        `8:56 warning schema_unavailable POST /a 200 ${asked} maxLength must be a whole number from 0`,
        /^13:\d+ warning schema_unavailable POST \/a 299 with text\/event-stream cannot .*cannot be held against a schema/,
        /^14:\d+ warning schema_unavailable POST \/a 2xx cannot be checked; .*2xx is not a status/,
        new RegExp(`^17:.* POST /a 404 with application/json and 2 more responses ${asked} type "strin" is not one`),
      ]);
      const { validation, problems } = await validationOf(text, { response: { body: 'Enforce', headers: 'Enforce' } });
      t.equal(problems.length, 6, 'the sidecar finds the same');
      t.equal(codeOf(validation, 'POST /a', { body: '{}' }), 'allowed');
      const answer = (line: string, status: number, headers = ['content-type', 'application/json']) =>
        responseFindings(validation, line, { status, headers, body: '{}' }).map(
          ({ effect, code }) => `${effect} ${code}`,
        );
      for (const status of [200, 404, 410])
        t.same(answer('POST /a', status), ['refuse schema_unavailable'], `${status}`);
      t.same(answer('POST /a', 299, ['content-type', 'text/event-stream']), ['refuse schema_unavailable']);
      t.same(answer('GET /b', 500), ['refuse schema_unavailable']);
    },
  );
}

t.test('lists what is not enforced of responses alone as that', async (t) => {
  const found = shown(`${openApi(
    '3.1.0',
    `  /a:
    put:
      requestBody: {content: {application/json: {schema: {pattern: "(?=b)"}}}}
      responses:
        "200": {headers: {X-Id: {schema: {pattern: "a(?!b)"}}}, content: {application/json: {schema: {format: hue}}}}
`,
  )}webhooks:
  paid:
    post:
      requestBody: {content: {application/json: {schema: {format: hue, maxLength: -1}}}}
      responses: {"200": {content: {application/json: {schema: {properties: {id: {writeOnly: true, minLength: x}}}}}}}
`);
  t.match(found, [
    /^6:\d+ warning pattern_not_enforceable .*; texts that it is asked of are refused unless/,
    /^8:\d+ warning pattern_not_enforceable .*; responses with texts that it is asked of do not fit$/,
    /^12:\d+ warning format_not_enforced format "hue"/,
    /^12:\d+ warning schema_unavailable webhook paid with application\/json is refused: maxLength/,
    /^13:\d+ warning schema_unavailable webhook paid 200 with application\/json cannot be checked; .*minLength/,
  ]);
  t.equal(found.length, 5);
});

t.test('however many responses lead to a schema, it is walked once', async (t) => {
  const chain = Array.from(
    { length: 3_000 },
    (_, index) => `    S${index}: {properties: {next: {$ref: "#/components/schemas/S${index + 1}"}}}\n`,
  );
  const paths = Array.from(
    { length: 2_000 },
    (_, index) =>
      `  /p${index}: {get: {responses: {default: {content: {application/json: {schema: {allOf: [{$ref: "#/components/schemas/S0"}]}}}}}}}\n`,
  );
  for (const [last, problems] of [
    ['{type: string}', 0],
    ['{type: strin}', 1],
  ] as const) {
    const text = `${openApi('3.1.0', paths.join(''))}components:\n  schemas:\n${chain.join('')}    S3000: ${last}\n`;
    const document = readDocumentText(text);
    const startedAt = performance.now();
    t.equal(checkOpenApiDocument(text, document).length, problems);
    // Walked for each of them, 6,000,000 steps take seconds.
    t.ok(performance.now() - startedAt < 1_000);
  }
});

t.test('the description of GitHub is checked with its responses in bounded time', async (t) => {
  const text = await githubDescription();
  const startedAt = performance.now();
  const found = shown(text);
  t.ok(performance.now() - startedAt < 5_000);
  t.match(found, [
    /^56952:27 .* GET \/repos\/\{owner\}\/\{repo\}\/contents\/\{path\} 200 with application\/vnd.github.object cannot be checked/,
    /format "repo.nwo"/,
    /format "timestamp"/,
  ]);
  t.equal(found.length, 3);
});
