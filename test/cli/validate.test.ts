import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { UsageError } from '#cli/command.ts';
import { validateCommand } from '#cli/commands/validate.ts';
import { shopProto } from '../support/shop-proto.ts';

async function validate(...args: readonly string[]) {
  let stdout = '';
  let stderr = '';
  const io = { stdout: (text: string) => (stdout += text), stderr: (text: string) => (stderr += text) };
  const code = await validateCommand.run(args, io);
  return { code, stdout, stderr };
}

const RESOURCES = `
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: orders, namespace: shop}
spec: {openapi: {file: orders.openapi.yaml}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: orders, namespace: shop}
spec: {selector: {matchLabels: {app: orders}}, schemaRefs: [orders], mode: Enforce, request: {unknownParameters: Report}}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: 25006, serviceAccount: orders, labels: {app: orders}}]
`;
const DOCUMENT = `openapi: 3.1.0
info: {title: orders, version: "1"}
paths:
  /orders:
    get: {}
    post:
      requestBody:
        required: true
        content: {application/json: {schema: {type: object, required: [sku], properties: {sku: {type: string}}}}}
`;
const FILES = {
  'a.yaml': RESOURCES,
  'orders.openapi.yaml': DOCUMENT,
  'good.json': '{"sku":"a"}',
  'bad.json': '{"sku":1}',
};
const JSON_TYPE = ['--header', 'content-type: application/json'];

t.test('prints the verdict with its details, and exits 0 for a refusal too', async (t) => {
  const folder = t.testdir(FILES);
  const common = ['--policies', folder, '--to', 'shop/orders:8080', ...JSON_TYPE];
  const post = (file: string) => ['--request', 'POST /orders', '--body', join(folder, file)];
  t.same(await validate(...common, ...post('good.json')), {
    code: 0,
    stdout: 'pass allowed: the request is as described\n',
    stderr: '',
  });
  const bad = await validate(...common, ...post('bad.json'), '--json');
  t.equal(bad.code, 0);
  t.same(JSON.parse(bad.stdout), {
    verdict: 'refuse',
    code: 'invalid_body',
    details: [{ in: 'body', pointer: '/sku', keyword: 'type', message: 'must be string' }],
    reason: 'body /sku: must be string',
  });
  t.match(await validate(...common, '--request', 'GET /admin'), { stdout: /^refuse undocumented_path: / });
  t.match(await validate(...common, '--request', 'GET /orders?x=1'), { stdout: /^audit unknown_parameter: / });
  t.match(await validate(...common, '--label', 'app=other', '--request', 'GET /admin'), {
    stdout: 'pass allowed: no APIValidationPolicy binds the workload\n',
  });
});

t.test('a batch answers every line in order, whatever is in it', async (t) => {
  const to = { namespace: 'shop', name: 'orders', port: 8080 };
  const headers = { 'content-type': 'application/json' };
  const lines: readonly (readonly [object | string, object])[] = [
    [
      { to, path: '/orders' },
      { verdict: 'pass', code: 'allowed', details: [] },
    ],
    [
      { to, method: 'POST', path: '/orders', headers, body: '{"sku":"a"}' },
      { verdict: 'pass', code: 'allowed' },
    ],
    [
      { to, method: 'POST', path: '/orders', headers, bodyBase64: 'eyJza3UiOjF9' },
      { verdict: 'refuse', code: 'invalid_body' },
    ],
    [
      { to, method: 'POST', path: '/orders', headers, body: '' },
      { verdict: 'refuse', code: 'missing_body' },
    ],
    [
      { to, method: 'POST', path: '/orders', headers, body: '{' },
      { verdict: 'refuse', code: 'malformed_body' },
    ],
    [
      { to, method: 'POST', path: '/orders', headers, body: 'x'.repeat(1024 * 1024 + 1) },
      { verdict: 'refuse', code: 'body_too_large' },
    ],
    [
      { to, method: 'DELETE', path: '/orders' },
      { verdict: 'refuse', code: 'undocumented_method' },
    ],
    [
      { to, path: '/orders/../admin' },
      { verdict: 'refuse', code: 'ambiguous_path' },
    ],
    [
      { to, path: '/orders?x=1' },
      { verdict: 'audit', code: 'unknown_parameter', details: [{ in: 'query', pointer: '/x' }] },
    ],
    [
      { to, path: '/orders', from: 'spiffe://x' },
      { verdict: 'refuse', code: 'invalid_spiffe_id' },
    ],
    [
      { to, protocol: 'tcp' },
      { verdict: 'refuse', code: 'tcp_not_validated' },
    ],
    [
      { to: { ...to, labels: { app: 'other' } }, protocol: 'tcp' },
      { verdict: 'pass', code: 'allowed' },
    ],
    [
      { to, path: '/orders', response: { status: 500, headers: {}, body: 'any' } },
      { verdict: 'pass', code: 'allowed', reason: 'the request and its response are as described' },
    ],
    [
      { to, path: '/orders', response: { status: 99 } },
      { verdict: 'refuse', code: 'invalid_request', reason: /99/ },
    ],
    [
      { to, path: '/orders', response: { status: 200, body: 1 } },
      { verdict: 'refuse', code: 'invalid_request', reason: /response.body must be a string/ },
    ],
    [
      { to, body: 1 },
      { verdict: 'refuse', code: 'invalid_request' },
    ],
    [
      { to, bodyBase64: '!' },
      { verdict: 'refuse', code: 'invalid_request' },
    ],
    ['{broken', { verdict: 'refuse', code: 'invalid_request' }],
    [{ path: '/' }, { verdict: 'refuse', code: 'invalid_request', reason: /missing field to/ }],
    [
      { to: { ...to, labels: { app: 'other' } }, path: '/nope' },
      { verdict: 'pass', code: 'allowed' },
    ],
  ];
  const text = lines.map(([line]) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
  const folder = t.testdir({ ...FILES, 'batch.jsonl': `${text}\n` });
  const { code, stdout } = await validate('--policies', folder, '--batch', join(folder, 'batch.jsonl'));
  t.equal(code, 0);
  const answers = stdout
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  t.equal(answers.length, lines.length);
  for (const [index, [, wanted]] of lines.entries()) t.match(answers[index], wanted, `line ${index + 1}`);
});

t.test('the mesh in Audit refuses nothing', async (t) => {
  const defaults = `
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {mode: Audit}
`;
  const folder = t.testdir({ ...FILES, 'defaults.yaml': defaults });
  const result = await validate('--policies', folder, '--to', 'shop/orders', '--request', 'GET /admin');
  t.match(result, { code: 0, stdout: /^audit undocumented_path: / });
});

t.test('says which operations cannot be checked', async (t) => {
  const broken = DOCUMENT.replace('sku: {type: string}', 'sku: {pattern: "(a"}');
  const folder = t.testdir({ ...FILES, 'orders.openapi.yaml': broken });
  const common = ['--policies', folder, '--to', 'shop/orders', ...JSON_TYPE, '--request', 'POST /orders'];
  const result = await validate(...common, '--body', join(folder, 'good.json'));
  t.match(result.stdout, /^refuse schema_unavailable: /);
  t.match(
    result.stderr,
    /^warning: APISchema shop\/orders: POST \/orders with application\/json: .*Invalid regular expression/,
  );
});

t.test('broken policies decide nothing', async (t) => {
  const folder = t.testdir({ ...FILES, 'b.yaml': 'apiVersion: lateral.dev/v1alpha1\nkind: APISchema\n' });
  const result = await validate('--policies', folder, '--to', 'shop/orders', '--request', 'GET /orders');
  t.match(result, { code: 1, stdout: '', stderr: /b\.yaml:\d+:\d+: error / });
});

t.test('wrong usage is told', async (t) => {
  const folder = t.testdir(FILES);
  const to = ['--policies', folder, '--to', 'shop/orders'];
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /--policies PATH is missing/],
    [['--policies', folder], /--to NAMESPACE\/WORKLOAD is missing/],
    [to, /--request 'METHOD PATH' is missing/],
    [[...to, '--request', 'GET'], /expected 'METHOD PATH'/],
    [[...to, '--request', 'GET /', '--body', join(folder, 'absent')], /--body .*ENOENT/],
    [[...to, '--request', 'GET /', '--claims', '{}'], /claims play no part/],
    [[...to, '--batch', 'x'], /--batch takes the place/],
    [['--nope'], /--nope/],
    [['extra'], /unexpected argument extra/],
  ];
  for (const [args, message] of cases) {
    const error: unknown = await validate(...args).catch((caught: unknown) => caught);
    t.ok(error instanceof UsageError);
    t.match(error, { message });
  }
});

t.test('a response is judged as the sidecar would', async (t) => {
  const document = DOCUMENT.replace(
    'get: {}',
    'get: {responses: {"200": {description: all, content: {application/json: {schema: {type: array}}}}}}',
  );
  const policies = RESOURCES.replace(
    'mode: Enforce',
    'mode: Enforce, response: {body: Enforce, undeclaredStatus: Audit}',
  );
  const folder = t.testdir({ ...FILES, 'a.yaml': policies, 'orders.openapi.yaml': document });
  const common = ['--policies', folder, '--to', 'shop/orders', '--request', 'GET /orders', '--response-status'];
  const type = ['--response-header', 'content-type: application/json'];
  const body = ['--response-body', join(folder, 'good.json')];
  const answer = async (...more: readonly string[]) => (await validate(...common, ...more)).stdout;
  t.match(await answer('500'), /^audit invalid_response: response \/status: the status 500 is not declared/);
  t.match(await answer('200', ...type), /^refuse invalid_response: response: the body is missing/);
  t.match(await answer('200', ...type, ...body), /^refuse invalid_response: response: must be array/);
  t.match(
    await answer('200', ...type, ...body, '--json'),
    /"details":\[\{"in":"response","pointer":"","keyword":"type"/,
  );
  await t.rejects(validate(...common.slice(0, -1), ...type), /--response-status CODE is missing/);
  await t.rejects(validate(...common, 'x'), UsageError);
});

t.test('messages of gRPC calls are judged by their descriptor set', async (t) => {
  const { set, encode } = await shopProto();
  const good = encode('Order', { id: 'a' });
  const bad = encode('Order', { id: '' });
  const folder = t.testdir({
    'a.yaml': RESOURCES.replace(
      '{openapi: {file: orders.openapi.yaml}}',
      '{protoDescriptorSet: {file: shop.binpb}}',
    ).replace('request: {unknownParameters: Report}', 'response: {body: Enforce}'),
    'shop.binpb': set,
    good,
    bad,
    zipped: gzipSync(bad),
  });
  const common = ['--policies', folder, '--to', 'shop/orders:8080'];
  const call = async (method: string, ...files: string[]) => {
    const messages = files.flatMap((file) => ['--message', join(folder, file)]);
    return (await validate(...common, '--request', `POST /shop.v1.Orders/${method}`, ...messages)).stdout;
  };
  t.equal(await call('Place', 'good'), 'pass allowed: the request is as described\n');
  t.match(await call('Place', 'bad'), /^refuse invalid_body: .*\/id/);
  t.match(await call('Place', 'good', 'good'), /^refuse malformed_body: .*second message/);
  t.match(await call('Place'), /^refuse unsupported_media_type/, 'nothing says that it is a gRPC call');
  t.equal(await call('PlaceAll', 'good', 'good'), 'pass allowed: the request is as described\n');
  t.match(await call('PlaceAll', 'good', 'bad'), /^refuse invalid_body/);
  const base64 = (...messages: Buffer[]) => messages.map((message) => message.toString('base64'));
  const line = (more: object) =>
    JSON.stringify({ to: { namespace: 'shop', name: 'orders' }, protocol: 'grpc', ...more });
  const place = { path: '/shop.v1.Orders/Place', messages: base64(good) };
  const frame = (flag: number, length: number, bytes: Buffer) =>
    Buffer.concat([Buffer.from([flag, 0, 0, 0, length]), bytes]);
  const zipped = { 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' };
  await writeFile(
    join(folder, 'batch'),
    [
      line(place),
      line({ ...place, response: { status: 200, messages: base64(encode('Receipt', { id: 'r' })) } }),
      line({ ...place, response: { status: 200, messages: base64(Buffer.from([0x08, 1])) } }),
      line({ ...place, response: { status: 200, body: 'x', headers: { 'content-type': 'text/html' } } }),
      line({
        ...place,
        messages: undefined,
        headers: zipped,
        bodyBase64: base64(frame(1, gzipSync(bad).length, gzipSync(bad)))[0],
      }),
      line({ ...place, messages: undefined, headers: zipped, bodyBase64: base64(frame(1, 2, bad))[0] }),
      line({ ...place, messages: undefined, headers: zipped, bodyBase64: base64(frame(0, 99, bad))[0] }),
      line({ ...place, messages: ['?'] }),
    ].join('\n'),
  );
  const { stdout } = await validate('--policies', folder, '--batch', join(folder, 'batch'));
  const codes = stdout
    .trim()
    .split('\n')
    .map((one) => JSON.parse(one).code);
  t.strictSame(codes, [
    'allowed',
    'allowed',
    'invalid_response',
    'invalid_response',
    'invalid_body',
    'malformed_body',
    'malformed_body',
    'invalid_request',
  ]);
});

t.test('a message that is only reported is no reason to look at no further one', async (t) => {
  const { set, encode } = await shopProto();
  const policies = RESOURCES.replace('{openapi: {file: orders.openapi.yaml}}', '{protoDescriptorSet: {file: set}}');
  const more = Buffer.concat([encode('Order', { id: 'a' }), Buffer.from([0xf8, 0x07, 1])]); // field 127
  const folder = t.testdir({
    'a.yaml': policies.replace('unknownParameters: Report', 'unknownProperties: Report'),
    ...{ set, more, bad: encode('Order', { id: '' }) },
  });
  const call = ['--policies', folder, '--to', 'shop/orders', '--request', 'POST /shop.v1.Orders/PlaceAll'];
  const messages = (...names: string[]) => names.flatMap((name) => ['--message', join(folder, name)]);
  t.match((await validate(...call, ...messages('more', 'more'))).stdout, /^audit unknown_property: /);
  t.match((await validate(...call, ...messages('more', 'bad'))).stdout, /^refuse invalid_body: /);
});

t.test('what cannot be read of a batch is told with its line, and judged as nothing else', async (t) => {
  const line = (more: string) => `{"to":{"namespace":"shop","name":"orders"},"path":"/orders",${more}}`;
  const post = '"method":"POST","headers":{"content-type":"application/json"}';
  const lines: readonly (readonly [string | Buffer, object])[] = [
    ['', {}],
    ['{broken', { code: 'invalid_request', reason: /^line 2: not JSON/ }],
    [
      Buffer.concat([
        Buffer.from(line(`${post},"body":"{\\"sku\\":\\"`).slice(0, -1)),
        Buffer.from([0xff]),
        Buffer.from('\\"}"}'),
      ]),
      { code: 'invalid_request', reason: 'line 3: not UTF-8' },
    ],
    ['x'.repeat(16 * 1024 * 1024 + 1), { code: 'invalid_request', reason: 'line 4: more than 16777216 bytes' }],
    ['[]', { code: 'invalid_request', reason: 'line 5: expected a JSON object' }],
    [line('"bodyBase64":"abcde"'), { code: 'invalid_request', reason: 'bodyBase64 must be base64' }],
    [line('"headers":{"a b":"c"}'), { code: 'malformed_request', reason: '"a b" is not the name of a header field' }],
    [line('"headers":{"x":"a\\r\\nb"}'), { code: 'malformed_request', reason: /value of x has a control character/ }],
  ];
  const folder = t.testdir({ ...FILES, folder: {} });
  const bytes = lines.flatMap(([text]) => [Buffer.from(text), Buffer.from('\n')]);
  await writeFile(join(folder, 'batch'), Buffer.concat(bytes));
  const { stdout } = await validate('--policies', folder, '--batch', join(folder, 'batch'));
  const answers = stdout.trimEnd().split('\n');
  t.equal(answers.length, lines.length - 1, 'a blank line has no answer');
  for (const [index, [, wanted]] of lines.slice(1).entries()) t.match(JSON.parse(answers[index] ?? ''), wanted);
  for (const absent of ['absent', 'folder']) {
    await t.rejects(validate('--policies', folder, '--batch', join(folder, absent)), {
      message: new RegExp(`${absent}: E`),
    });
  }
});
