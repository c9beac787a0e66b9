import t from 'tap';
import { DocumentValidators, MAIN_EXPORT } from '#policy/validation/instantiate-validators.ts';
import { compileDocument } from '#policy/validation/openapi/compile-document.ts';
import { MAX_WORK_HERE } from '#policy/validation/schema/work-budget.ts';
import { codeOf, findings, openApi, validationOf } from './validation-of.ts';

const body = (schema: string) => `  /b:\n    post: {requestBody: {content: {application/json: {schema: ${schema}}}}}\n`;

/** Runs once cold, then tells how long the second run takes, in milliseconds. */
function timed(step: () => void): number {
  step();
  const started = performance.now();
  step();
  return performance.now() - started;
}

t.test('a body of hostile content takes a bounded time, whatever the schema', async (t) => {
  const components = `components:
  schemas:
    Both: {anyOf: [{type: object, required: [x], properties: {c: {$ref: "#/components/schemas/Both"}}}, {type: object, properties: {c: {$ref: "#/components/schemas/Both"}}, required: [y]}]}
    Self: {$ref: "#/components/schemas/Self"}
    Item: {type: object, properties: {a: {$ref: "#/components/schemas/Item"}}}
`;
  const nested = `${'{"x":1,"y":1,"c":'.repeat(60)}1${'}'.repeat(60)}`;
  const objects = JSON.stringify(Array.from({ length: 80_000 }, (_, a) => ({ a })));
  const numbers = `[${Array.from({ length: 150_000 }, (_, index) => index).join()}]`;
  const cases: readonly (readonly [name: string, schema: string, body: string])[] = [
    ['nested quantifiers', '{pattern: "^(a+)+$"}', `"${'a'.repeat(1_000_000)}!"`],
    ['two quantifiers', '{pattern: "[a-z]+[a-z0-9]+$"}', `"${'a'.repeat(1_000_000)}!"`],
    ['a wide pattern', '{pattern: "^(?:\\\\p{L}{1,500}){2}$"}', `"${'é'.repeat(500_000)}"`],
    ['an email', '{format: email}', `"${'a'.repeat(1_000_000)}"`],
    ['a hostname', '{format: hostname}', `"${'a-'.repeat(500_000)}"`],
    ['a URI', '{format: uri}', `"http://${'a'.repeat(1_000_000)}"`],
    ['unique objects', '{uniqueItems: true}', objects],
    ['unique numbers', '{uniqueItems: true}', numbers],
    ['alternatives in a recursive schema', '{$ref: "#/components/schemas/Both"}', nested],
    ['a schema that is itself', '{$ref: "#/components/schemas/Self"}', '1'],
    ['contains with references', '{contains: {$ref: "#/components/schemas/Item"}}', numbers],
  ];
  for (const [name, schema, text] of cases) {
    const { validation, problems } = await validationOf(openApi('3.1.0', body(schema)) + components);
    t.same(problems, []);
    const buffer = Buffer.from(text);
    const elapsedMs = timed(() => findings(validation, 'POST /b', { body: buffer }));
    t.comment(
      `${name}, ${buffer.length} bytes: ${elapsedMs.toFixed(1)} ms, ${codeOf(validation, 'POST /b', { body: buffer })}`,
    );
    t.ok(elapsedMs < 2_000, `${name} took ${elapsedMs} ms`);
  }
});

/** As long as a body may be that is judged where requests are served. */
const MAX_BYTES = 256 * 1024;

function filled(item: string): string {
  return `[${Array(Math.floor(MAX_BYTES / (item.length + 1)) - 1)
    .fill(item)
    .join()}]`;
}

t.test('what takes long is found out while requests wait, and left to another thread', async (t) => {
  const many = (count: number, item: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => item(index)).join(', ');
  const names = Array.from({ length: 25_000 }, (_, index) => `"${index.toString(36)}":1`).join();
  const cases: readonly (readonly [name: string, schema: string, body: string])[] = [
    ['an enum of texts', `{items: {enum: [${many(5_000, (index) => `"s${index}"`)}]}}`, filled('"s4999"')],
    ['an enum of objects', `{items: {enum: [${many(2_000, (index) => `{a: ${index}}`)}]}}`, filled('{"a":1999}')],
    [
      'patterns of empty texts',
      `{items: {allOf: [${many(100, (index) => `{pattern: "^(x${index})?"}`)}]}}`,
      filled('""'),
    ],
    [
      'RE2 of empty texts',
      `{items: {allOf: [${many(50, (index) => `{pattern: "(a|aa${index})*b?$"}`)}]}}`,
      filled('""'),
    ],
    [
      'alternatives in place',
      `{items: {oneOf: [${many(200, (index) => `{type: object, required: [a${index}]}`)}]}}`,
      filled('{"a199":1}'),
    ],
    [
      'more alternatives',
      `{items: {not: {anyOf: [${many(300, (index) => `{type: object, required: [a${index}]}`)}]}}}`,
      filled('{}'),
    ],
    ['dependencies', `{items: {dependentRequired: {${many(1_000, (index) => `q${index}: [a]`)}}}}`, filled('{}')],
    ['divisors', '{items: {multipleOf: 1.0e-300}}', filled('1e300')],
    [
      'many names',
      `{allOf: [${many(50, (index) => `{properties: {p${index}: true}}`)}], unevaluatedProperties: {}}`,
      `{${names}}`,
    ],
  ];
  for (const [name, schema, text] of cases) {
    const { validation, problems } = await validationOf(openApi('3.1.0', body(schema)));
    t.same(problems, []);
    const bytes = Buffer.from(text);
    t.ok(bytes.length <= MAX_BYTES);
    const headers = ['content-type', 'application/json'];
    const plan = validation.judgeHead({
      method: 'POST',
      path: '/b',
      query: '',
      headers,
      hasBody: true,
      contentLength: bytes.length,
    }).body;
    const times = Array.from({ length: 4 }, () => {
      const before = process.threadCpuUsage().user;
      plan?.judgeWithin(bytes, MAX_WORK_HERE);
      return (process.threadCpuUsage().user - before) / 1000;
    });
    t.comment(`${name}: ${times.join(', ')} ms`);
    t.ok(Math.min(...times) < 25, `${name} takes ${times} ms`);
  }
});

t.test('runs of spaces take no longer than other bytes', async (t) => {
  const paths =
    '  /b:\n    post: {parameters: [{name: x-a, in: header, schema: {type: array, items: {type: string}}}], requestBody: {content: {multipart/form-data: {schema: {type: object}}}}}\n';
  const { validation } = await validationOf(openApi('3.1.0', paths));
  const spaces = (count: number) => `a${' '.repeat(count)}b`;
  const type = 'multipart/form-data; boundary=B';
  const part = `--B\r\nContent-Disposition: form-data; name="a"\r\nX: ${spaces(8_000)}\r\n\r\n7\r\n`;
  const cases: readonly (readonly [headers: readonly string[], body: string])[] = [
    [['content-type', type], `${part.repeat(30)}--B--`],
    [['content-type', `${type};${spaces(60_000)}`], 'x'],
    [['content-type', `${type}; x="${'a'.repeat(60_000)}`], 'x'],
    [['content-type', type, 'x-a', spaces(60_000)], '--B--'],
  ];
  for (const [headers, text] of cases) {
    const sent = { headers, body: Buffer.from(text) };
    findings(validation, 'POST /b', sent);
    const before = process.threadCpuUsage().user;
    findings(validation, 'POST /b', sent);
    const elapsedMs = (process.threadCpuUsage().user - before) / 1000;
    t.ok(elapsedMs < 100, `${elapsedMs} ms`);
  }
});

t.test('an ordinary request is judged in microseconds', async (t) => {
  const schema =
    '{type: object, required: [id, items], additionalProperties: false, properties: {id: {type: string, format: uuid}, items: {type: array, items: {$ref: "#/components/schemas/Item"}}}}';
  const components =
    'components: {schemas: {Item: {type: object, required: [sku], properties: {sku: {type: string, pattern: "^[a-z0-9-]{1,63}$"}, quantity: {type: integer, minimum: 1}, price: {type: number}}}}}\n';
  const paths = `  /orders/{id}:
    post:
      parameters: [{name: id, in: path, required: true, schema: {type: string, format: uuid}}, {name: page, in: query, schema: {type: integer}}]
      requestBody: {required: true, content: {application/json: {schema: ${schema}}}}
`;
  const { validation } = await validationOf(openApi('3.0.3', paths) + components);
  const id = '6fa459ea-ee8a-3ca4-894e-db77e160355e';
  const items = Array.from({ length: 20 }, (_, index) => ({ sku: `sku-${index}`, quantity: 1 + index, price: 12.5 }));
  const bytes = Buffer.from(JSON.stringify({ id, items }));
  const headers = ['host', 'orders.shop', 'content-type', 'application/json', 'accept', '*/*'];
  const request = {
    method: 'POST',
    path: `/orders/${id}`,
    query: 'page=2',
    headers,
    hasBody: true,
    contentLength: bytes.length,
  };
  const rounds = 20_000;
  const judge = () => {
    const { findings: found, body: plan } = validation.judgeHead(request);
    return found.length + (plan?.judge(bytes).length ?? 1);
  };
  for (let round = 0; round < rounds / 4; round++) judge();
  t.equal(judge(), 0);
  const started = performance.now();
  for (let round = 0; round < rounds; round++) judge();
  t.comment(
    `head and ${bytes.length} bytes of body: ${(((performance.now() - started) / rounds) * 1000).toFixed(1)} µs`,
  );
});

t.test('nothing of a document is made into functions before a value comes to it', async (t) => {
  const paths = Array.from(
    { length: 400 },
    (_, index) =>
      `  /p${index}:\n    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {a${index}: {type: string, pattern: "^(a+)+b$"}}}}}}}\n`,
  );
  const { units } = compileDocument(openApi('3.1.0', paths.join('')));
  t.equal(units.length, 400);
  const started = performance.now();
  const validators = new DocumentValidators(units);
  const all = units.map((_, index) => validators.validator(index, MAIN_EXPORT));
  t.ok(performance.now() - started < 10, 'at once');
  let longest = 0;
  for (const [index, validator] of all.entries()) {
    const before = performance.now();
    t.equal(validator({ [`a${index}`]: 'ab' }) && !validator({ [`a${index}`]: 1 }), true);
    longest = Math.max(longest, performance.now() - before);
  }
  t.comment(`longest first judgement ${longest.toFixed(1)} ms`);
  t.ok(longest < 50);
});
