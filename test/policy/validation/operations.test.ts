import t from 'tap';
import { compileValidation } from '#policy/validation/compile-validation.ts';
import { generateValidators } from '#policy/validation/generate-validators.ts';
import { codeOf, findings, openApi, policyOf, schemaOf, validationOf } from './validation-of.ts';

const PATHS = `  /orders:
    get: {operationId: list}
    post:
      operationId: create
      requestBody:
        required: true
        content: {application/json: {schema: {type: object, required: [sku], properties: {sku: {type: string}}}}}
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get: {}
    delete: {}
    options: {}
  /orders/latest:
    get: {}
`;

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`${version}: lets documented operations pass and refuses all others`, async (t) => {
    const { validation, problems } = await validationOf(openApi(version, PATHS));
    t.same(problems, []);
    const cases: readonly (readonly [string, string])[] = [
      ['GET /orders', 'allowed'],
      ['GET /orders/7', 'allowed'],
      ['GET /orders/latest', 'allowed'],
      ['DELETE /orders/7', 'allowed'],
      ['HEAD /orders/7', 'allowed'],
      ['OPTIONS /orders/7', 'allowed'],
      ['OPTIONS /orders', 'undocumented_method'],
      ['DELETE /orders/latest', 'undocumented_method'],
      ['get /orders', 'undocumented_method'],
      ['PUT /orders', 'undocumented_method'],
      ['GET /orders/', 'undocumented_path'],
      ['GET /admin', 'undocumented_path'],
      ['GET /orders/7/items', 'undocumented_path'],
      ['GET /orders/seven', 'invalid_parameter'],
      ['POST /orders', 'missing_body'],
    ];
    for (const [line, code] of cases) t.equal(codeOf(validation, line), code, line);
    t.equal(codeOf(validation, 'POST /orders', { body: '{"sku":"a"}' }), 'allowed');
    t.equal(
      codeOf(validation, 'GET /orders', { body: '{}' }),
      'unsupported_media_type',
      'a body where none is declared',
    );
  });
}

t.test('names route, policy and allowed methods', async (t) => {
  const { validation } = await validationOf(openApi('3.1.0', PATHS));
  const request = {
    method: 'PUT',
    path: '/orders/7',
    query: '',
    headers: [],
    hasBody: false,
    contentLength: undefined,
  };
  t.match(validation.judgeHead(request), {
    route: '/orders/{id}',
    findings: [
      {
        effect: 'refuse',
        code: 'undocumented_method',
        facts: { policy: 'shop/policy', allow: 'DELETE, GET, HEAD, OPTIONS' },
      },
    ],
    body: undefined,
  });
  t.equal(validation.judgeHead({ ...request, path: '/x' }).route, undefined);
});

t.test('Audit judges all and refuses nothing', async (t) => {
  const { validation } = await validationOf(openApi('3.1.0', PATHS), { mode: 'Audit' });
  const cases = [
    ['GET /admin', 'undocumented_path'],
    ['PUT /orders', 'undocumented_method'],
    ['GET /orders/x', 'invalid_parameter'],
    ['POST /orders', 'missing_body'],
  ] as const;
  for (const [line, code] of cases) t.match(findings(validation, line), [{ effect: 'audit', code }], line);
  t.match(findings(validation, 'POST /orders?x=1', { body: '{}' }), [
    { effect: 'audit', code: 'unknown_parameter' },
    { effect: 'audit', code: 'invalid_body' },
  ]);
});

t.test('Report records, Allow says nothing', async (t) => {
  const report = await validationOf(openApi('3.1.0', PATHS), {
    request: { undocumented: 'Report', unknownParameters: 'Report' },
  });
  t.match(findings(report.validation, 'GET /admin'), [{ effect: 'audit', code: 'undocumented_path' }]);
  t.match(findings(report.validation, 'PUT /orders'), [{ effect: 'audit', code: 'undocumented_method' }]);
  t.match(findings(report.validation, 'GET /orders?x=1'), [{ effect: 'audit', code: 'unknown_parameter' }]);
  t.match(findings(report.validation, 'GET /orders/x'), [{ effect: 'refuse', code: 'invalid_parameter' }]);
  const allow = await validationOf(openApi('3.1.0', PATHS), {
    request: { undocumented: 'Allow', unknownParameters: 'Allow' },
  });
  t.same(findings(allow.validation, 'GET /admin'), []);
  t.same(findings(allow.validation, 'PUT /orders'), []);
  t.same(findings(allow.validation, 'GET /orders?x=1'), []);
});

t.test('overrides hold for their operation alone', async (t) => {
  const overrides = [
    { operationId: 'create', request: { body: 'Skip', unknownParameters: 'Allow' } },
    { operationId: 'list', limits: { bodyBytes: 5 } },
  ];
  const { validation, problems } = await validationOf(openApi('3.1.0', PATHS), { overrides });
  t.same(problems, []);
  t.equal(codeOf(validation, 'POST /orders?x=1', { body: 'no json', headers: [] }), 'allowed');
  t.equal(codeOf(validation, 'POST /orders'), 'allowed');
  t.equal(codeOf(validation, 'GET /orders?x=1'), 'unknown_parameter');
  t.equal(codeOf(validation, 'GET /orders', { body: '123456' }), 'body_too_large');
  const unknown = await validationOf(openApi('3.1.0', PATHS), { overrides: [{ operationId: 'nope' }] });
  t.same(unknown.problems, ['APIValidationPolicy shop/policy: no operation has the operationId nope']);
});

t.test('base paths apply where there is exactly one server', async (t) => {
  const servers = async (text: string, paths = '  /a: {get: {}}\n') =>
    (await validationOf(`${openApi('3.1.0', paths)}servers: ${text}\n`)).validation;
  const cases: readonly (readonly [string, string])[] = [
    ['[{url: "https://shop.example/v1/"}]', '/v1/a'],
    ['[{url: /v1}]', '/v1/a'],
    ['[{url: "https://shop.example"}]', '/a'],
    [
      '[{url: "https://{region}.example/{version}", variables: {region: {default: eu}, version: {default: v2}}}]',
      '/v2/a',
    ],
    ['[{url: /v1}, {url: /v2}]', '/a'],
    ['[]', '/a'],
  ];
  for (const [text, path] of cases) {
    const validation = await servers(text);
    t.equal(codeOf(validation, `GET ${path}`), 'allowed', text);
    t.equal(codeOf(validation, 'GET /other/a'), 'undocumented_path', text);
  }
  const own = await servers('[{url: /v1}]', '  /a: {get: {}, put: {servers: [{url: /v9}]}}\n');
  t.equal(codeOf(own, 'PUT /v9/a'), 'allowed');
  t.equal(codeOf(own, 'PUT /v1/a'), 'undocumented_method');
});

t.test('joins documents; the same operation in two is refused', async (t) => {
  const first = openApi(
    '3.0.3',
    '  /a/{x}: {get: {parameters: [{name: x, in: path, required: true, schema: {type: integer}}]}}\n  /both: {get: {}}\n',
  );
  const second = openApi(
    '3.1.0',
    '  /a/{y}: {put: {parameters: [{name: y, in: path, required: true, schema: {type: boolean}}]}}\n  /both: {get: {}}\n',
  );
  const { validation, problems } = await validationOf([first, second]);
  t.equal(codeOf(validation, 'GET /a/1'), 'allowed');
  t.equal(codeOf(validation, 'PUT /a/true'), 'allowed');
  t.equal(codeOf(validation, 'PUT /a/1'), 'invalid_parameter');
  t.equal(codeOf(validation, 'GET /both'), 'schema_unavailable');
  t.same(problems, [
    'APIValidationPolicy shop/policy: GET /both is in two documents, shop/schema-0 and shop/schema-1; it is refused',
  ]);
});

t.test('a document that is missing or broken leaves nothing open', async (t) => {
  const schemas = [schemaOf('good', openApi('3.1.0', '  /a: {get: {}}\n')), schemaOf('broken', 'openapi: 4.0.0\n')];
  for (const missing of ['broken', 'absent']) {
    const policies = [policyOf({ schemaRefs: ['good', missing], request: { undocumented: 'Allow' } })];
    const { validation, problems } = await compileValidation({ policies, schemas, generate: generateValidators });
    t.equal(problems.length, 1);
    t.match(problems[0], new RegExp(`APISchema shop/${missing}`));
    if (validation === undefined) throw new Error('no validation');
    t.equal(codeOf(validation, 'GET /a'), 'allowed');
    t.equal(codeOf(validation, 'GET /b'), 'schema_unavailable');
    t.equal(codeOf(validation, 'PUT /a'), 'schema_unavailable');
  }
});

t.test('of several policies the first by namespace and name is in force', async (t) => {
  const schemas = [schemaOf('a', openApi('3.1.0', '  /a: {get: {}}\n'))];
  const policies = ['b', 'a', 'c'].map((name) => policyOf({ schemaRefs: ['a'] }, name));
  const { validation, problems } = await compileValidation({ policies, schemas, generate: generateValidators });
  t.same(problems, [
    'APIValidationPolicy shop/b is not in force: shop/a binds the same workload and comes first',
    'APIValidationPolicy shop/c is not in force: shop/a binds the same workload and comes first',
  ]);
  if (validation === undefined) throw new Error('no validation');
  t.match(findings(validation, 'GET /x'), [{ facts: { policy: 'shop/a' } }]);
  t.same(await compileValidation({ policies: [], schemas, generate: generateValidators }), {
    validation: undefined,
    problems: [],
  });
});

t.test('an operation whose schema cannot be compiled is refused, the others are not', async (t) => {
  const { validation, problems } = await validationOf(
    openApi(
      '3.0.3',
      `  /good: {get: {}}
  /pattern:
    get: {parameters: [{name: q, in: query, schema: {type: string, pattern: "(a"}}]}
  /style:
    get: {parameters: [{name: q, in: query, style: deepObject, schema: {type: string}}]}
  /body:
    post: {requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Gone"}}, text/plain: {}}}}
  /multipart:
    post: {requestBody: {content: {multipart/form-data: {schema: {type: array}}}}}
  /xml:
    post: {requestBody: {content: {application/xml: {schema: {type: object}}}}}
`,
    ),
  );
  t.equal(problems.length, 5);
  for (const problem of problems) t.match(problem, /^APISchema shop\/schema-0: (GET|POST) \//);
  t.equal(codeOf(validation, 'GET /good'), 'allowed');
  t.equal(codeOf(validation, 'GET /pattern'), 'schema_unavailable');
  t.equal(codeOf(validation, 'GET /style?q=1'), 'schema_unavailable');
  t.equal(codeOf(validation, 'POST /body', { body: '{}' }), 'schema_unavailable');
  t.equal(codeOf(validation, 'POST /body', { body: '{}', headers: ['content-type', 'text/plain'] }), 'allowed');
  t.equal(
    codeOf(validation, 'POST /multipart', { body: 'x', headers: ['content-type', 'multipart/form-data; boundary=x'] }),
    'schema_unavailable',
  );
  t.equal(
    codeOf(validation, 'POST /xml', { body: '<a/>', headers: ['content-type', 'application/xml'] }),
    'schema_unavailable',
  );
});
