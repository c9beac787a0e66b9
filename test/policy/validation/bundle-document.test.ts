import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { readPolicyFolder } from '#files/read-policy-folder.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';
import { contentProblems } from '#policy/resource/content-problems.ts';
import { compileDocument } from '#policy/validation/openapi/compile-document.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

const SCHEMA = `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: orders, namespace: shop}
spec: {openapi: {file: api/orders.openapi.yaml}}
`;

const ROOT = `openapi: 3.1.0
info: {title: orders, version: "1"}
paths:
  /orders:
    $ref: paths/orders.yaml
  /orders/{id}:
    get:
      operationId: read
      parameters: [{$ref: "../shared/common.yaml#/parameters/id"}]
      responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}}
components:
  schemas:
    Order: {type: object, properties: {lines: {type: array, items: {$ref: "paths/orders.yaml#/x-types/Line"}}}}
`;

const PATHS = `post:
  operationId: add
  requestBody:
    required: true
    content: {application/json: {schema: {$ref: "../orders.openapi.yaml#/components/schemas/Order"}}}
  responses: {}
x-types:
  Line: {type: object, properties: {sku: {$ref: "../../shared/common.yaml#/types/Sku"}}, required: [sku]}
`;

const COMMON = `types:
  Sku: {type: string, pattern: "^[A-Z]+$"}
  Tree: {properties: {next: {$ref: "#/types/Tree"}}}
parameters:
  id: {name: id, in: path, required: true, schema: {$ref: "#/types/Sku"}}
`;

const FILES = {
  'a.yaml': SCHEMA,
  'api/orders.openapi.yaml': ROOT,
  'api/paths/orders.yaml': PATHS,
  'shared/common.yaml': COMMON,
};

async function load(
  t: Test,
  files: { readonly [path: string]: string },
  links: { readonly [path: string]: string } = {},
) {
  const folder = join(t.testdir(), 'policies');
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  for (const [path, to] of Object.entries(links)) symlinkSync(to, join(folder, path));
  const read = await readPolicyFolder(folder);
  const set = loadResources(read.files, (...given) => read.readDocument(...given), MESH);
  const { resources, sourced } = set;
  const problems = [...set.problems, ...(await contentProblems(sourced))];
  const { inline = '' } = JSON.parse(resources[0]?.document ?? '{"spec":{"openapi":{}}}').spec.openapi;
  return { inline, problems: problems.map((one) => formatProblem(one).slice(folder.length + 1)) };
}

t.test('files that $refs name are taken in, and those that these name', async (t) => {
  const { inline, problems } = await load(t, FILES);
  t.strictSame(problems, []);
  const whole = `openapi: 3.1.0
info: {title: orders, version: "1"}
paths:
  /orders:
    post:
      operationId: add
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
      responses: {}
  /orders/{id}:
    get:
      operationId: read
      parameters: [{name: id, in: path, required: true, schema: {$ref: "#/components/schemas/Sku"}}]
      responses: {"200": {content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}}
components:
  schemas:
    Order: {type: object, properties: {lines: {type: array, items: {$ref: "#/components/schemas/Line"}}}}
    Line: {type: object, properties: {sku: {$ref: "#/components/schemas/Sku"}}, required: [sku]}
    Sku: {type: string, pattern: "^[A-Z]+$"}
`;
  const [bundled, single] = [inline, whole].map((text) => compileDocument(text, { responses: true }));
  t.strictSame(bundled?.errors, []);
  t.same(bundled?.operations, single?.operations);
  t.same(bundled?.units, single?.units);
  t.notMatch(inline, /Tree/, 'what nothing reaches is left out');
});

t.test('what is wrong in a file is shown in that file', async (t) => {
  const wrong = COMMON.replace('pattern: "^[A-Z]+$"', 'minLength: many');
  t.match((await load(t, { ...FILES, 'shared/common.yaml': wrong })).problems, [
    /^shared\/common\.yaml:2:\d+: warning schema_unavailable .*minLength must be a whole number/,
  ]);
  const broken = await load(t, { ...FILES, 'shared/common.yaml': 'types: {Sku: }]' });
  for (const line of broken.problems) t.match(line, /^shared\/common\.yaml:1:\d+: error yaml_syntax /);
  t.ok(broken.problems.length > 0);
});

t.test('a file that is not there, is outside, or is a URL, is an error at its $ref', async (t) => {
  const named = (reference: string) => ({
    ...FILES,
    'api/paths/orders.yaml': PATHS.replace('../../shared/common.yaml', reference),
  });
  const at = /^api\/paths\/orders\.yaml:8:\d+: error unreadable_reference /;
  for (const reference of [
    '../../shared/gone.yaml',
    '../../../../../../../../../etc/passwd',
    '../../outside.yaml',
    '/etc/passwd',
  ]) {
    const { problems } = await load(t, named(reference), { 'outside.yaml': '/etc/hosts' });
    t.match(
      problems.filter((line) => !line.startsWith('outside')),
      [at],
      reference,
    );
  }
  for (const reference of [
    'https://a.test/types.yaml',
    'http://127.0.0.1/types.yaml',
    'file:///etc/passwd',
    '//a.test/b.yaml',
  ]) {
    const { problems } = await load(t, named(reference));
    t.match(problems, [/^api\/paths\/orders\.yaml:8:\d+: (error|warning) \S+ .*nothing is fetched/], reference);
  }
});

t.test('an anchor that two files have is an error, an $id keeps its meaning', async (t) => {
  const first = ROOT.replace('Order: {', 'Order: {$anchor: sku, ');
  const second = COMMON.replace('Sku: {', 'Sku: {$anchor: sku, ');
  const { problems } = await load(t, { ...FILES, 'api/orders.openapi.yaml': first, 'shared/common.yaml': second });
  t.match(problems, [/^shared\/common\.yaml:2:\d+: error unreadable_reference \$anchor sku is also one of /]);

  const withId = COMMON.replace(
    'Sku: {',
    'Sku: {$id: "https://a.test/sku", $defs: {own: {type: string}}, $ref: "#/$defs/own", ',
  );
  const { inline, problems: none } = await load(t, { ...FILES, 'shared/common.yaml': withId });
  t.strictSame(none, []);
  t.strictSame(compileDocument(inline).problems, []);
});

t.test('a file of parts that is no part of anything is still told to be no resource', async (t) => {
  const { problems } = await load(t, { ...FILES, 'stray.yaml': 'types: {}\n' });
  t.match(problems, [/^stray\.yaml:1:1: error missing_field /, /^stray\.yaml:1:1: error missing_field /]);
});
