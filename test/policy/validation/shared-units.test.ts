import t from 'tap';
import { compileDocument } from '#policy/validation/openapi/compile-document.ts';
import { MAX_WORK_HERE } from '#policy/validation/schema/work-budget.ts';
import { codeOf, openApi, validationOf } from './validation-of.ts';

const posting = (path: string, schema: string) =>
  `  ${path}:\n    post: {requestBody: {content: {application/json: {schema: ${schema}}}}}\n`;

t.test('a schema that many operations refer to stands once, as does a list of parameters that many have', async (t) => {
  const parameters = '[{$ref: "#/components/parameters/owner"}, {$ref: "#/components/parameters/page"}]';
  const paths = Array.from(
    { length: 50 },
    (_, index) =>
      `${posting(`/p${index}`, '{type: array, items: {$ref: "#/components/schemas/Order"}}')}    parameters: ${parameters}\n`,
  );
  const components = `components:
  parameters:
    owner: {name: owner, in: query, schema: {type: string}}
    page: {name: page, in: query, schema: {type: integer}}
  schemas:
    Order: {type: object, properties: {line: {$ref: "#/components/schemas/Line"}}}
    Line: {type: object, properties: {order: {$ref: "#/components/schemas/Order"}}}
`;
  const { units, problems } = compileDocument(openApi('3.0.3', paths.join('')) + components);
  t.same(problems, []);
  t.equal(units.length, 50 + 2 + 1);
});

t.test('a parameter may refer to the schema of another', async (t) => {
  const paths = `  /a:
    get:
      parameters:
        - {name: first, in: query, schema: {type: integer}}
        - {name: second, in: query, schema: {$ref: "#/paths/~1a/get/parameters/0/schema"}}
        - {name: third, in: query, schema: {$ref: "#/components/schemas/Third"}}
`;
  const components = 'components: {schemas: {Third: {$ref: "#/paths/~1a/get/parameters/1/schema"}}}\n';
  const { validation, problems } = await validationOf(openApi('3.1.0', paths) + components);
  t.same(problems, []);
  t.equal(codeOf(validation, 'GET /a?first=1&second=2&third=3'), 'allowed');
  for (const name of ['first', 'second', 'third']) t.equal(codeOf(validation, `GET /a?${name}=x`), 'invalid_parameter');
});

t.test('a schema that cannot be compiled makes all unavailable that reach it, and nothing else', async (t) => {
  const paths = [
    posting('/a', '{$ref: "#/components/schemas/Bad"}'),
    posting('/b', '{type: array, items: {$ref: "#/components/schemas/Bad"}}'),
    posting('/c', '{$ref: "#/components/schemas/Around"}'),
    posting('/d', '{$ref: "#/components/schemas/Good"}'),
  ];
  const components = `components:
  schemas:
    Bad: {type: integer, exclusiveMaximum: true}
    Around: {properties: {good: {$ref: "#/components/schemas/Good"}, bad: {$ref: "#/components/schemas/Bad"}}}
    Good: {type: object}
`;
  const { validation, problems } = await validationOf(openApi('3.0.3', paths.join('')) + components);
  t.equal(problems.length, 3);
  for (const problem of problems) t.match(problem, /components\.schemas\.Bad: the schema cannot be compiled/);
  for (const path of ['/a', '/b', '/c']) {
    t.equal(codeOf(validation, `POST ${path}`, { body: '[]' }), 'schema_unavailable', path);
  }
  t.equal(codeOf(validation, 'POST /d', { body: '{}' }), 'allowed');
});

t.test(
  'a schema whose code would take long to become a function is evaluated as it stands, and those that refer to it call it',
  async (t) => {
    const fields = Array.from(
      { length: 60 },
      (_, index) => `f${index}: {type: string, maxLength: 5, pattern: "^[a-z]+$"}`,
    );
    const groups = Array.from(
      { length: 60 },
      (_, index) => `g${index}: {type: object, properties: {${fields.join()}}}`,
    );
    const long = `{type: object, properties: {${groups.join()}, line: {$ref: "#/components/schemas/Line"}}}`;
    const paths = [
      posting('/inline', long),
      posting('/linked', '{type: array, items: {$ref: "#/components/schemas/Long"}}'),
      posting('/rest', `{allOf: [{$ref: "#/components/schemas/Long"}], unevaluatedProperties: false}`),
      `  /query:\n    get: {parameters: [{name: q, in: query, content: {application/json: {schema: ${long}}}}]}\n`,
    ];
    const components = `components:
  schemas:
    Long: ${long}
    Line: {type: object, properties: {count: {type: integer}, outer: {$ref: "#/components/schemas/Long"}}}
`;
    const document = openApi('3.1.0', paths.join('')) + components;
    const { units } = compileDocument(document);
    const lengths = units.flatMap((unit) => (typeof unit === 'string' ? [unit.length] : []));
    t.ok(Math.max(...lengths) < 200_000, String(lengths));
    const { validation, problems } = await validationOf(document);
    t.same(problems, []);
    const good = { g59: { f59: 'abcde' }, line: { count: 1, outer: { g0: { f0: 'a' } } } };
    const bad = [{ g59: { f59: 'abcdef' } }, { line: { count: 'x' } }, { line: { outer: { g0: { f0: 'A' } } } }];
    const verdict = (path: string, body: unknown) =>
      codeOf(validation, `POST ${path}`, { body: Buffer.from(JSON.stringify(body)) });
    for (const path of ['/inline', '/linked', '/rest']) {
      const sent = (value: unknown) => (path === '/linked' ? [value] : value);
      t.equal(verdict(path, sent(good)), 'allowed', path);
      for (const value of bad) t.equal(verdict(path, sent(value)), 'invalid_body', path);
    }
    t.equal(verdict('/rest', { ...good, other: 1 }), 'invalid_body');
    const query = (value: unknown) => codeOf(validation, `GET /query?q=${encodeURIComponent(JSON.stringify(value))}`);
    t.equal(query(good), 'allowed');
    for (const value of bad) t.equal(query(value), 'invalid_parameter');
  },
);

t.test('properties named like keywords are properties', async (t) => {
  const schema =
    '{properties: {$ref: {type: string}, enum: {$ref: "#/components/schemas/A"}}, dependentRequired: {$ref: [title]}, const: {$ref: x, title: y, enum: 1}}';
  const components = 'components: {schemas: {A: {type: integer}}}\n';
  const { validation, problems } = await validationOf(openApi('3.1.0', posting('/a', schema)) + components);
  t.same(problems, []);
  t.equal(codeOf(validation, 'POST /a', { body: '{"$ref":"x","title":"y","enum":1}' }), 'allowed');
  t.equal(codeOf(validation, 'POST /a', { body: '{"$ref":"x","title":"z","enum":1}' }), 'invalid_body');
});

t.test('making validators counts as work where a body can be judged beside, and is done once', async (t) => {
  const alternatives = 150;
  const names = Array.from({ length: alternatives }, (_, index) => `A${index}`);
  const fields = Array.from({ length: 20 }, (_, index) => `f${index}: {type: string, minLength: 1, maxLength: 9}`);
  const schemas = names.map((name) => `    ${name}: {required: [is${name}], properties: {${fields.join(', ')}}}\n`);
  const oneOf = names.map((name) => `{$ref: "#/components/schemas/${name}"}`).join(', ');
  const components = `components:\n  schemas:\n${schemas.join('')}`;
  const { validation, problems } = await validationOf(
    openApi('3.1.0', posting('/a', `{oneOf: [${oneOf}]}`)) + components,
  );
  t.same(problems, []);
  const bytes = Buffer.from(`{"isA${alternatives - 1}":1}`);
  const request = { method: 'POST', path: '/a', query: '', headers: ['content-type', 'application/json'] };
  const plan = validation.judgeHead({ ...request, hasBody: true, contentLength: bytes.length }).body;
  const verdicts = [];
  while (verdicts.length < 50 && verdicts.at(-1) === undefined) verdicts.push(plan?.judgeWithin(bytes, MAX_WORK_HERE));
  t.ok(verdicts.length > 2, `a verdict after ${verdicts.length} times`);
  t.same(verdicts.at(-1), []);
  t.same(plan?.judgeWithin(bytes, MAX_WORK_HERE), []);
});

t.test('making validators uses up nothing of a judgement that is the only one', async (t) => {
  const fields = Array.from({ length: 150 }, (_, index) => `g${index}: {type: string, maxLength: 9}`).join(', ');
  const schemas = Array.from({ length: 60 }, (_, index) => `    S${index}: {type: object, properties: {${fields}}}\n`);
  const all = schemas.map((_, index) => `f${index}: {$ref: "#/components/schemas/S${index}"}`).join(', ');
  const schema = `{type: object, properties: {${all}}}`;
  const parameters = `[{name: q, in: query, content: {application/json: {schema: ${schema}}}}]`;
  const components = `components:\n  schemas:\n${schemas.join('')}`;
  const document = `${openApi('3.1.0', `${posting('/a', schema)}    parameters: ${parameters}\n`)}${components}`;
  const characters = compileDocument(document).units.map((unit) => (typeof unit === 'string' ? unit.length : 0));
  t.ok(characters.reduce((sum, length) => sum + length, 0) > 2 * MAX_WORK_HERE, 'far more than is judged here');
  const { validation, problems } = await validationOf(document);
  t.same(problems, []);
  const value = JSON.stringify(Object.fromEntries(schemas.map((_, index) => [`f${index}`, { g0: 'x' }])));
  t.equal(codeOf(validation, `POST /a?q=${encodeURIComponent(value)}`, { body: value }), 'allowed');
});
