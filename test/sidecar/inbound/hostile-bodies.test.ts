import { readFileSync } from 'node:fs';
import https from 'node:https';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { type SidecarProcess, startSidecarProcess } from '../../support/sidecar-process.ts';
import { startApp } from '../../support/start-app.ts';

/** So many branches; each is tried, none for longer than the work of one body allows. */
const BRANCHES = 10_000;

const branches = Array.from({ length: BRANCHES }, (_, index) => ({
  type: 'object',
  required: [`k${index}`],
  properties: { [`k${index}`]: { type: 'string' } },
}));
const SCHEMAS: { readonly [path: string]: object } = {
  '/any': {},
  '/object': { type: 'object' },
  '/pattern': { type: 'string', pattern: '^(a+)+$' },
  '/branches': { type: 'array', items: { oneOf: branches } },
  '/cyclic': { $ref: '#/components/schemas/Node' },
};
const DOCUMENT = {
  openapi: '3.1.0',
  info: { title: 'hostile', version: '1' },
  paths: Object.fromEntries(
    Object.entries(SCHEMAS).map(([path, schema]) => [
      path,
      { post: { requestBody: { required: true, content: { 'application/json': { schema } } } } },
    ]),
  ),
  components: {
    schemas: {
      Node: {
        type: 'object',
        properties: { next: { anyOf: [{ $ref: '#/components/schemas/Node' }, { $ref: '#/components/schemas/Node' }] } },
        additionalProperties: false,
      },
    },
  },
};
const POLICIES = `apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: all, namespace: test}
spec: {rules: [{}]}
---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: api, namespace: test}
spec: {openapi: {file: api.json}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec: {mode: Enforce, schemaRefs: [api]}
`;

interface Answer {
  readonly status: number;
  readonly code: unknown;
  readonly ms: number;
}

/** Sends what `write` writes, until the answer comes; resolves to it. */
function post(
  sidecar: SidecarProcess,
  path: string,
  headers: { readonly [name: string]: string },
  write: (request: ReturnType<typeof https.request>, isAnswered: () => boolean) => void,
): Promise<Answer> {
  const leaf = sidecar.authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    let isAnswered = false;
    const request = https.request(
      {
        ...leaf,
        port: sidecar.port,
        host: '127.0.0.1',
        path,
        method: 'POST',
        headers,
        ca: sidecar.authority.rootPem,
        checkServerIdentity: () => undefined,
        agent: false,
      },
      (response) => {
        isAnswered = true;
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          const code = text.startsWith('{') ? JSON.parse(text).code : undefined;
          resolve({ status: response.statusCode ?? 0, code, ms: performance.now() - startedAt });
          request.destroy();
        });
      },
    );
    request.on('error', (error) => {
      if (!isAnswered) reject(error);
    });
    write(request, () => isAnswered);
  });
}

/** The most memory that the process had, in MB (VmHWM). */
function peakMb({ child }: SidecarProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

async function start(t: Test): Promise<SidecarProcess> {
  const app = await startApp(t, (request, response) => {
    request.resume();
    request.on('end', () => response.end('reached'));
  });
  const sidecar = await startSidecarProcess(
    t,
    app.port,
    POLICIES,
    '',
    {},
    { 'policies/api.json': JSON.stringify(DOCUMENT) },
  );
  return sidecar;
}

const json = { 'content-type': 'application/json' };
const whole = (body: string | Buffer) => (request: ReturnType<typeof https.request>) => request.end(body);

t.test('bodies that are made to harm are refused by their codes, in little time and memory', async (t) => {
  const sidecar = await start(t);
  t.match(await post(sidecar, '/any', json, whole('{}')), { status: 200 });
  const before = peakMb(sidecar);
  const cases: readonly (readonly [
    string,
    string,
    { readonly [name: string]: string },
    string | Buffer,
    number,
    string,
  ])[] = [
    ['nested 100,000 deep', '/any', json, `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 400, 'malformed_body'],
    ['never closed', '/any', json, '{"a":'.repeat(100_000), 400, 'malformed_body'],
    ['a key twice', '/any', json, '{"a":1,"\\u0061":2}', 400, 'malformed_body'],
    ['text behind the value', '/any', json, '{} {}', 400, 'malformed_body'],
    ['a byte order mark', '/any', json, '\ufeff{}', 400, 'malformed_body'],
    ['UTF-16', '/any', json, Buffer.from('{"a":1}', 'utf16le'), 400, 'malformed_body'],
    [
      'another charset',
      '/any',
      { 'content-type': 'application/json; charset=utf-16' },
      '{}',
      415,
      'unsupported_media_type',
    ],
    ['a form that says it is JSON', '/any', json, 'a=1&b=2', 400, 'malformed_body'],
    [
      'JSON that says it is a form',
      '/any',
      { 'content-type': 'application/x-www-form-urlencoded' },
      '{}',
      415,
      'unsupported_media_type',
    ],
    ['no type', '/any', {}, '{}', 415, 'unsupported_media_type'],
    ['unknown coding', '/any', { ...json, 'content-encoding': 'compress' }, '{}', 415, 'unsupported_media_type'],
    ['a long text for (a+)+', '/pattern', json, JSON.stringify(`${'a'.repeat(500_000)}!`), 400, 'invalid_body'],
    [
      'a text too long for a schema that ends in itself',
      '/cyclic',
      json,
      `${'{"next":'.repeat(60)}1${'}'.repeat(60)}`,
      400,
      'invalid_body',
    ],
    [
      'what fits none of 10,000 branches, a thousand times',
      '/branches',
      json,
      JSON.stringify(Array(1_000).fill({ x: 1 })),
      400,
      'invalid_body',
    ],
  ];
  for (const [name, path, headers, body, status, code] of cases) {
    const answer = await post(sidecar, path, headers, whole(body));
    t.match(answer, { status, code }, name);
    t.ok(answer.ms < 3_000, `${name}: ${Math.round(answer.ms)} ms`);
    t.match(await post(sidecar, '/any', json, whole('{}')), { status: 200 }, 'others are served as before');
  }
  t.ok(peakMb(sidecar) - before < 150, `${Math.round(peakMb(sidecar) - before)} MB more at the worst`);
});

t.test('a body without end is refused at its limit, and not kept', async (t) => {
  const sidecar = await start(t);
  t.match(await post(sidecar, '/any', json, whole('{}')), { status: 200 });
  const before = peakMb(sidecar);
  const chunk = Buffer.alloc(1024 * 1024, 0x20);
  let sent = 0;
  const answer = await post(sidecar, '/any', json, (request, isAnswered) => {
    const more = () => {
      for (;;) {
        if (isAnswered() || sent >= 1024) return;
        sent += 1;
        if (!request.write(chunk)) {
          request.once('drain', more);
          return;
        }
      }
    };
    more();
  });
  t.match(answer, { status: 413, code: 'body_too_large' });
  t.ok(sent < 64, `${sent} MB were sent until then`);
  const declared = await post(sidecar, '/any', { ...json, 'content-length': String(1024 ** 3) }, (request) => {
    request.write(chunk);
  });
  t.match(declared, { status: 413, code: 'body_too_large' });
  t.ok(peakMb(sidecar) - before < 40, `${Math.round(peakMb(sidecar) - before)} MB more at the worst`);
});

t.test('a coding does not hide a body', async (t) => {
  const sidecar = await start(t);
  const coders = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync, zstd: zstdCompressSync };
  t.match(await post(sidecar, '/any', json, whole('{}')), { status: 200 });
  const before = peakMb(sidecar);
  for (const [coding, code] of Object.entries(coders)) {
    const coded = { ...json, 'content-encoding': coding };
    const cases: readonly (readonly [string, Buffer, number, string | undefined])[] = [
      ['what fits', code('{"a":1}'), 200, undefined],
      ['what does not', code('[1]'), 400, 'invalid_body'],
      ['a bomb', code(Buffer.alloc(256 * 1024 * 1024, 0x20)), 413, 'body_too_large'],
      ['a lie', Buffer.from('{"a":1}'), 400, 'malformed_body'],
      ['more behind it', Buffer.concat([code('{"a":1}'), Buffer.from('x')]), 400, 'malformed_body'],
    ];
    for (const [name, body, status, wanted] of cases) {
      const answer = await post(sidecar, '/object', coded, whole(body));
      t.match(answer, { status, code: wanted }, `${coding}: ${name}`);
      t.ok(answer.ms < 3_000, `${Math.round(answer.ms)} ms`);
    }
  }
  const twice = gzipSync(gzipSync('{"a":1}'));
  t.match(await post(sidecar, '/object', { ...json, 'content-encoding': 'gzip, gzip' }, whole(twice)), { status: 415 });
  t.ok(peakMb(sidecar) - before < 100, `${Math.round(peakMb(sidecar) - before)} MB more at the worst`);
});
