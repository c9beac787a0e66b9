import t, { type Test } from 'tap';
import { findings, openApi, type SentRequest, validationOf } from './validation-of.ts';

/** What comes of a request: `allowed`, or the code and the first detail. */
async function judge(parameters: string, line: string, sent: SentRequest = {}, version = '3.1.0'): Promise<string> {
  const path = line.includes('/p/') ? '/p/{x}' : '/q';
  const { validation, problems } = await validationOf(
    openApi(version, `  ${path}:\n    get: {parameters: [${parameters}]}\n`),
  );
  if (problems.length > 0) return `unavailable ${problems.join()}`;
  const [finding] = findings(validation, `GET ${line}`, sent);
  if (finding === undefined) return 'allowed';
  const [detail] = finding.facts.details ?? [];
  return `${finding.code} ${detail?.in} ${detail?.pointer} ${detail?.keyword}`;
}

type Case = readonly [parameter: string, line: string, wanted: string];

async function check(t: Test, cases: readonly Case[], sent?: SentRequest): Promise<void> {
  for (const [parameter, line, wanted] of cases) {
    const got = await judge(parameter, line, sent);
    t.ok(got.startsWith(wanted), `${parameter} with ${line.replaceAll('#', '')}: ${got}`);
  }
}

t.test('text becomes a value by the declared type, strictly', async (t) => {
  const integer = '{name: n, in: query, schema: {type: integer, maximum: 99}}';
  const number = '{name: n, in: query, schema: {type: number}}';
  const boolean = '{name: n, in: query, schema: {type: boolean}}';
  const either = '{name: n, in: query, schema: {oneOf: [{type: integer, minimum: 5}, {type: string, enum: [all]}]}}';
  await check(t, [
    [integer, '/q?n=7', 'allowed'],
    [integer, '/q?n=-7', 'allowed'],
    [integer, '/q?n=100', 'invalid_parameter query /n maximum'],
    ...['1e1', '1.0', '01', '%201', '+1', '0x1', '', 'seven', '1_0', 'Infinity'].map(
      (text): Case => [integer, `/q?n=${text}`, 'invalid_parameter query /n type'],
    ),
    [number, '/q?n=1.5e3', 'allowed'],
    [number, '/q?n=.5', 'invalid_parameter query /n type'],
    [number, '/q?n=NaN', 'invalid_parameter query /n type'],
    [number, '/q?n=1e999', 'invalid_parameter query /n type'],
    [boolean, '/q?n=true', 'allowed'],
    [boolean, '/q?n=1', 'invalid_parameter query /n type'],
    [either, '/q?n=5', 'allowed'],
    [either, '/q?n=all', 'allowed'],
    [either, '/q?n=4', 'invalid_parameter query /n'],
    ['{name: n, in: query, schema: {enum: [1, 2]}}', '/q?n=2', 'allowed'],
    ['{name: n, in: query, schema: {enum: [1, 2]}}', '/q?n=3', 'invalid_parameter query /n enum'],
    ['{name: n, in: query, schema: {type: [integer, "null"]}}', '/q?n=3', 'allowed'],
    ['{name: n, in: query, schema: {type: string, pattern: "^[0-9]+$"}}', '/q?n=3', 'allowed'],
  ]);
});

t.test('presence: required, repeated, empty, unknown', async (t) => {
  const required = '{name: n, in: query, required: true, schema: {type: string}}';
  const optional = '{name: n, in: query, schema: {type: integer}}';
  await check(t, [
    [required, '/q', 'invalid_parameter query /n required'],
    [required, '/q?n=', 'allowed'],
    [required, '/q?n', 'allowed'],
    [required, '/q?N=1', 'invalid_parameter query /n required'],
    [required, '/q?n=1&n=2', 'invalid_parameter query /n duplicate'],
    [required, '/q?n=1&%6e=2', 'invalid_parameter query /n duplicate'],
    [optional, '/q', 'allowed'],
    [optional, '/q?', 'allowed'],
    [optional, '/q?&&', 'allowed'],
    [optional, '/q?n=', 'invalid_parameter query /n type'],
    ['{name: n, in: query, allowEmptyValue: true, schema: {type: integer}}', '/q?n', 'allowed'],
    [optional, '/q?m=1', 'unknown_parameter query /m unknown'],
    [optional, '/q?=1', 'unknown_parameter query / unknown'],
  ]);
});

t.test('percent-encodings are decoded once, broken ones refused', async (t) => {
  const exact = (value: string) => `{name: n, in: query, schema: {const: ${JSON.stringify(value)}}}`;
  await check(t, [
    [exact('a b'), '/q?n=a+b', 'allowed'],
    [exact('a b'), '/q?n=a%20b', 'allowed'],
    [exact('a+b'), '/q?n=a%2Bb', 'allowed'],
    [exact('%41'), '/q?n=%2541', 'allowed'],
    [exact('é'), '/q?n=%C3%A9', 'allowed'],
    [exact('a'), '/q?n=%', 'invalid_parameter query /n encoding'],
    [exact('a'), '/q?n=%C3', 'invalid_parameter query /n encoding'],
    [exact('a'), '/q?n=%C0%AF', 'invalid_parameter query /n encoding'],
    [exact('a'), '/q?%zz=1', 'invalid_parameter query  encoding'],
    ['{name: x, in: path, required: true, schema: {const: "a/b"}}', '/p/a%2Fb', 'allowed'],
    ['{name: x, in: path, required: true, schema: {const: "a+b"}}', '/p/a+b', 'allowed'],
    ['{name: x, in: path, required: true, schema: {}}', '/p/%ff', 'invalid_parameter path /x encoding'],
  ]);
});

t.test('lists in every supported style', async (t) => {
  const list = (more: string) =>
    `{name: n, in: query, ${more}schema: {type: array, maxItems: 3, items: {type: integer}}}`;
  const path = '{name: x, in: path, required: true, schema: {type: array, minItems: 2, items: {type: integer}}}';
  await check(t, [
    [list(''), '/q?n=1&n=2&n=3', 'allowed'],
    [list(''), '/q?n=1&n=2&n=3&n=4', 'invalid_parameter query /n maxItems'],
    [list(''), '/q?n=1&n=x', 'invalid_parameter query /n/1 type'],
    [list(''), '/q?n=1,2', 'invalid_parameter query /n/0 type'],
    [list('explode: false, '), '/q?n=1,2,3', 'allowed'],
    [list('explode: false, '), '/q?n=1,2&n=3', 'invalid_parameter query /n duplicate'],
    [list('explode: false, '), '/q?n=1,,2', 'invalid_parameter query /n/1 type'],
    [list('style: spaceDelimited, explode: false, '), '/q?n=1%202+3', 'allowed'],
    [list('style: pipeDelimited, explode: false, '), '/q?n=1|2%7C3', 'allowed'],
    [
      '{name: n, in: query, explode: false, schema: {type: array, items: {enum: ["a,b", c]}}}',
      '/q?n=a%2Cb,c',
      'allowed',
    ],
    [path, '/p/1,2', 'allowed'],
    [path, '/p/1', 'invalid_parameter path /x minItems'],
    ['{name: "ids[]", in: query, schema: {type: array, items: {type: integer}}}', '/q?ids[]=1&ids%5B%5D=2', 'allowed'],
  ]);
});

t.test('a list or something else: each form is tried, the first that is valid counts', async (t) => {
  const either = (more: string) =>
    `{name: n, in: query, ${more}schema: {oneOf: [{type: string, maxLength: 3}, {type: array, items: {type: integer}, minItems: 2}]}}`;
  const nested =
    '{name: n, in: query, schema: {anyOf: [{type: "null"}, {anyOf: [{type: boolean}, {type: array, items: {type: integer}}]}]}}';
  const header = '{name: x-n, in: header, schema: {type: [array, integer], items: {type: boolean}}}';
  await check(t, [
    [either(''), '/q?n=abc', 'allowed'],
    [either(''), '/q?n=abcd', 'invalid_parameter query /n'],
    [either(''), '/q?n=1&n=2', 'allowed'],
    [either(''), '/q?n=1&n=x', 'invalid_parameter query /n'],
    [either('explode: false, '), '/q?n=1000,2000', 'allowed'],
    [either('explode: false, '), '/q?n=1000,x', 'invalid_parameter query /n'],
    [either('explode: false, '), '/q?n=%zz', 'invalid_parameter query /n encoding'],
    ['{name: n, in: query, schema: {anyOf: [{type: integer}, {type: "null"}]}}', '/q?n=7', 'allowed'],
    ['{name: n, in: query, schema: {type: integer, anyOf: [{minimum: 5}, {maximum: 2}]}}', '/q?n=7', 'allowed'],
    [nested, '/q?n=true', 'allowed'],
    [nested, '/q?n=5', 'allowed'],
    [nested, '/q?n=x', 'invalid_parameter query /n'],
  ]);
  await check(t, [[header, '/q', 'allowed']], { headers: ['x-n', '5'] });
  await check(t, [[header, '/q', 'allowed']], { headers: ['x-n', 'true', 'x-n', 'false'] });
  await check(t, [[header, '/q', 'invalid_parameter header /x-n']], { headers: ['x-n', '5, 6'] });
});

t.test('objects in every supported style', async (t) => {
  const schema =
    'schema: {type: object, required: [a], properties: {a: {type: integer}, b: {type: string}}, additionalProperties: false}';
  const open = 'schema: {type: object, properties: {a: {type: integer}}, additionalProperties: {type: integer}}';
  await check(t, [
    [`{name: n, in: query, style: deepObject, ${schema}}`, '/q?n[a]=1&n%5Bb%5D=x', 'allowed'],
    [`{name: n, in: query, style: deepObject, ${schema}}`, '/q?n[a]=x', 'invalid_parameter query /n/a type'],
    [
      `{name: n, in: query, style: deepObject, ${schema}}`,
      '/q?n[c]=1&n[a]=1',
      'invalid_parameter query /n additionalProperties',
    ],
    [`{name: n, in: query, style: deepObject, ${open}}`, '/q?n[a]=1&n[b][c]=2', 'invalid_parameter query /n encoding'],
    [`{name: n, in: query, style: deepObject, ${schema}}`, '/q?n[a]=1&n[a]=2', 'invalid_parameter query /n encoding'],
    [`{name: n, in: query, style: deepObject, ${schema}}`, '/q?n[a]=1&n[a][]=2', 'invalid_parameter query /n encoding'],
    [`{name: n, in: query, style: deepObject, ${schema}}`, '/q?n[a][b]=2', 'invalid_parameter query /n encoding'],
    [`{name: n, in: query, style: deepObject, ${schema}}`, '/q?n[]=2', 'invalid_parameter query /n encoding'],
    [`{name: n, in: query, style: deepObject, required: true, ${schema}}`, '/q', 'invalid_parameter query /n required'],
    [`{name: n, in: query, ${schema}}`, '/q?a=1&b=x', 'allowed'],
    [`{name: n, in: query, ${schema}}`, '/q?b=x', 'invalid_parameter query /n required'],
    [`{name: n, in: query, ${schema}}`, '/q?a=1&c=x', 'unknown_parameter query /c'],
    [`{name: n, in: query, ${open}}, {name: m, in: query, schema: {type: string}}`, '/q?a=1&zz=2&m=x', 'allowed'],
    [
      `{name: n, in: query, ${open}}, {name: m, in: query, schema: {type: string}}`,
      '/q?a=1&zz=x',
      'invalid_parameter query /n/zz type',
    ],
    [`{name: n, in: query, explode: false, ${schema}}`, '/q?n=a,1,b,x', 'allowed'],
    [`{name: n, in: query, explode: false, ${schema}}`, '/q?n=a,1,b', 'invalid_parameter query /n encoding'],
    [`{name: x, in: path, required: true, explode: true, ${schema}}`, '/p/a=1,b=x', 'allowed'],
    [`{name: x, in: path, required: true, ${schema}}`, '/p/a,1', 'allowed'],
    [
      '{name: n, in: query, content: {application/json: {schema: {type: object, required: [a]}}}}',
      '/q?n=%7B%22a%22:1%7D',
      'allowed',
    ],
    [
      '{name: n, in: query, content: {application/json: {schema: {type: object, required: [a]}}}}',
      '/q?n={}',
      'invalid_parameter query /n required',
    ],
    [
      '{name: n, in: query, content: {application/json: {schema: {}}}}',
      '/q?n={',
      'invalid_parameter query /n encoding',
    ],
  ]);
});

t.test('headers: names without case, lists, those that OpenAPI ignores', async (t) => {
  const header = (schema: string) => `{name: X-Team, in: header, required: true, schema: ${schema}}`;
  await check(t, [[header('{type: integer}'), '/q', 'allowed']], { headers: ['x-tEAM', ' 7 '] });
  await check(t, [[header('{type: integer}'), '/q', 'invalid_parameter header /X-Team duplicate']], {
    headers: ['X-Team', '7', 'x-team', '8'],
  });
  await check(t, [[header('{type: array, items: {type: integer}}'), '/q', 'allowed']], {
    headers: ['X-Team', '7 , 8', 'x-team', '9'],
  });
  await check(t, [[header('{type: string}'), '/q', 'invalid_parameter header /X-Team required']], {
    headers: ['x-other', '7'],
  });
  await check(t, [['{name: Authorization, in: header, required: true, schema: {type: integer}}', '/q', 'allowed']], {
    headers: [],
  });
});

t.test('cookies, also spread over several fields', async (t) => {
  const cookie = '{name: n, in: cookie, required: true, schema: {type: integer}}';
  await check(t, [[cookie, '/q', 'allowed']], { headers: ['cookie', 'a=b; n=7'] });
  await check(t, [[cookie, '/q', 'allowed']], { headers: ['Cookie', 'a=b', 'cookie', 'n="7"'] });
  await check(t, [[cookie, '/q', 'invalid_parameter cookie /n type']], { headers: ['cookie', 'n=x'] });
  await check(t, [[cookie, '/q', 'invalid_parameter cookie /n duplicate']], { headers: ['cookie', 'n=1; n=2'] });
  await check(t, [[cookie, '/q', 'invalid_parameter cookie /n required']], { headers: ['cookie', 'm=1'] });
});

t.test('what cannot be read without guessing refuses its operation', async (t) => {
  const parameters = [
    '{name: n, in: query, style: matrix, schema: {type: string}}',
    '{name: n, in: query, schema: {type: array, items: {type: array, items: {}}}}',
    '{name: n, in: query, style: deepObject, schema: {type: object, properties: {a: {type: object}}}}',
    '{name: n, in: query, schema: {oneOf: [{type: object, properties: {a: {}}}, {type: string}]}}',
    '{name: n, in: query, schema: {type: array, items: {type: [integer, string]}}}',
    '{name: n, in: query, style: pipeDelimited, explode: true, schema: {type: object}}',
    '{name: n, in: query, content: {application/xml: {schema: {}}}}',
    '{name: n, in: query}',
    '{name: n, in: cookie, schema: {type: array, items: {type: string}}}',
    '{name: n, in: query, schema: {type: object, additionalProperties: true}}, {name: m, in: query, schema: {type: object, additionalProperties: true}}',
  ];
  for (const parameter of parameters) t.match(await judge(parameter, '/q'), /^unavailable /, parameter);
});

t.test('parameters are shared by reference and by path, and overridden by operation', async (t) => {
  const document = `${openApi(
    '3.0.3',
    `  /a:
    parameters: [{$ref: "#/components/parameters/Page"}, {name: q, in: query, schema: {type: integer}}]
    get: {parameters: [{name: q, in: query, schema: {type: boolean}}]}
    put: {}
`,
  )}components:
  parameters: {Page: {$ref: "#/components/parameters/Number"}, Number: {name: page, in: query, required: true, schema: {$ref: "#/components/schemas/Page"}}}
  schemas: {Page: {type: integer, minimum: 0, exclusiveMinimum: true}}
`;
  const { validation, problems } = await validationOf(document);
  t.same(problems, []);
  const code = (line: string) => findings(validation, line)[0]?.code ?? 'allowed';
  t.equal(code('GET /a?page=1&q=true'), 'allowed');
  t.equal(code('GET /a?page=1&q=1'), 'invalid_parameter');
  t.equal(code('PUT /a?page=1&q=1'), 'allowed');
  t.equal(code('PUT /a?page=0'), 'invalid_parameter');
  t.equal(code('PUT /a'), 'invalid_parameter');
});

t.test('at most 20 details, 2000 fields', async (t) => {
  const { validation } = await validationOf(openApi('3.1.0', '  /q: {get: {}}\n'));
  const query = (count: number) => Array.from({ length: count }, (_, index) => `k${index}=1`).join('&');
  const [finding] = findings(validation, `GET /q?${query(100)}`);
  t.equal(finding?.facts.details?.length, 20);
  t.match(findings(validation, `GET /q?${query(2001)}`), [
    { code: 'invalid_parameter', reason: 'query: has more than 2000 fields' },
  ]);
});

t.test('only spaces and tabs around a field are none of it', async (t) => {
  const declared = '{name: x-a, in: header, schema: {enum: [a]}}, {name: c, in: cookie, schema: {enum: [a]}}';
  t.equal(await judge(declared, '/q', { headers: ['x-a', '\t a ', 'cookie', 'b=1; \tc\t= a '] }), 'allowed');
  t.match(await judge(declared, '/q', { headers: ['x-a', 'a\xa0'] }), 'invalid_parameter header /x-a enum');
  t.match(await judge(declared, '/q', { headers: ['cookie', 'c=a\xa0'] }), 'invalid_parameter cookie /c enum');
});

t.test('headers that the sidecar takes out or writes anew are not asked for', async (t) => {
  for (const name of ['traceparent', 'TraceState', 'x-forwarded-client-cert', 'expect', 'connection', 'te'])
    t.equal(await judge(`{name: ${name}, in: header, required: true, schema: {type: integer}}`, '/q'), 'allowed', name);
  t.match(await judge('{name: x-request-id, in: header, required: true}', '/q'), 'unavailable');
});

t.test('a field with _ for - is the declared one, as apps behind CGI read it', async (t) => {
  const declared =
    '{name: X-Role, in: header, schema: {enum: [user]}}, {name: x_a, in: header, schema: {type: integer}}';
  t.equal(await judge(declared, '/q', { headers: ['x-role', 'user', 'x_other', '1', 'x_a', '1'] }), 'allowed');
  t.equal(await judge(declared, '/q', { headers: ['X_Role', 'admin'] }), 'invalid_parameter header /X-Role enum');
  t.equal(
    await judge(declared, '/q', { headers: ['x-role', 'user', 'x_role', 'admin'] }),
    'invalid_parameter header /X-Role duplicate',
  );
});
