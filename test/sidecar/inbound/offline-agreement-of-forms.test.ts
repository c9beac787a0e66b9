import { brotliCompressSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { agreeOffline, type Sent } from '../../support/agree-offline.ts';

const RULES = `apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: all, namespace: test}
spec: {rules: [{}]}
---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: api, namespace: test}
spec:
  openapi:
    inline: |
      openapi: 3.1.0
      info: {title: api, version: "1"}
      servers: [{url: https://api.test/v1}]
      paths:
        /things/{id}:
          parameters: [{name: id, in: path, required: true, schema: {type: integer, minimum: 1}}]
          get:
            parameters:
              - {name: tags, in: query, style: pipeDelimited, explode: false, schema: {type: array, items: {enum: [a, b]}}}
              - {name: filter, in: query, style: deepObject, schema: {type: object, properties: {size: {type: integer}}}}
              - {name: X-Role, in: header, schema: {enum: [user]}}
              - {name: session, in: cookie, schema: {type: string, minLength: 3}}
            responses:
              "200":
                description: told
                headers: {X-Count: {required: true, schema: {type: integer}}}
                content: {application/json: {schema: {type: object, required: [n], properties: {n: {type: integer}}}}}
              "4XX": {description: wrong}
          post:
            requestBody:
              required: true
              content:
                application/json: {schema: {type: object, required: [n], properties: {n: {type: integer}}}}
                application/x-www-form-urlencoded: {schema: {type: object, required: [n], properties: {n: {type: integer}}}}
                text/plain: {schema: {type: string, maxLength: 5}}
                multipart/form-data:
                  schema: {type: object, required: [title], properties: {title: {type: string, maxLength: 5}, file: {type: string, format: binary}}}
            responses: {"200": {description: done}}
        /matrix/{point}:
          get:
            parameters:
              - {name: point, in: path, required: true, style: matrix, explode: true, schema: {type: object, properties: {x: {type: integer}, y: {type: integer}}}}
            responses: {"200": {description: told}}
        /files/{name}:
          get:
            parameters: [{name: name, in: path, required: true, schema: {type: string, maxLength: 8}}]
            responses: {"200": {description: told}}
        /old: {get: {deprecated: true, responses: {"200": {description: told}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec:
  mode: Enforce
  schemaRefs: [api]
  request: {unknownParameters: Deny, unknownProperties: Deny}
  response: {body: Enforce, headers: Enforce, undeclaredStatus: Audit}
  limits: {bodyBytes: 2Ki, fileBytes: 4Ki}
  overrides:
    - {path: /v1/old, mode: Audit}
`;

const typed = (type: string, body: string | Buffer, ...headers: readonly (readonly [string, string])[]): Sent => ({
  method: 'POST',
  path: '/v1/things/1',
  headers: [['content-type', type], ...headers],
  body,
});
const part = (name: string, value: string) =>
  `--B\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
const multipart = (...parts: readonly string[]) =>
  typed('multipart/form-data; boundary=B', `${parts.join('')}--B--\r\n`);
const JSON_TYPE = 'application/json';
const answered = (status: number, headers: { readonly [name: string]: string }, body?: string | Buffer): Sent => ({
  path: '/v1/things/1',
  response: { status, headers, ...(body === undefined ? {} : { body }) },
});
const TOLD = { 'content-type': JSON_TYPE, 'x-count': '1' };

const CASES: readonly Sent[] = [
  // paths
  ...['/v1/things/1', '/v1/things/0', '/v1/things/one', '/v1/things/%31', '/v1/things/', '/v1/things', '/things/1'],
  ...[
    '/v1/things/1/',
    '/v1//things/1',
    '/v1/things/../things/1',
    '/v1/%74hings/1',
    '/v1/things/1%2f2',
    '/v1/things/%00',
  ],
  ...[
    '/v1/things/%zz',
    '/v1/things/1;a=b',
    '/v1/files/a%20b',
    '/v1/files/%C3%A9%C3%A9',
    '/v1/files/%ff',
    '/v1/files/a.b',
  ],
  ...[
    '/v1/files/123456789',
    '/v1/matrix/;x=1;y=2',
    '/v1/matrix/;x=a',
    '/v1/matrix/x=1',
    '/v1/old',
    '/v1/old?x=1',
    '/nowhere',
  ],
  // queries
  ...['?tags=a|b', '?tags=a%7Cb', '?tags=c', '?tags=a&tags=b', '?tags=', '?filter[size]=1', '?filter[size]=x'].map(of),
  ...['?filter[size][x]=1', '?filter[other]=1', '?other=1', '?', '?&', '?tags', '?%74ags=c', '?filter%5Bsize%5D=x'].map(
    of,
  ),
  ...['?tags=%zz', '?filter[size]=1&filter[size]=2', '?tags=a&TAGS=b'].map(of),
].map((path) => ({ path }));

function of(query: string): string {
  return `/v1/things/1${query}`;
}

const HEADS: readonly Sent[] = [
  { path: '/v1/things/1', headers: [['x-role', 'admin']] },
  { path: '/v1/things/1', headers: [['x-role', 'user']] },
  {
    path: '/v1/things/1',
    headers: [
      ['x-role', 'user'],
      ['x-role', 'user'],
    ],
  },
  { path: '/v1/things/1', headers: [['X_Role', 'admin']] },
  { path: '/v1/things/1', headers: [['cookie', 'session=ab']] },
  { path: '/v1/things/1', headers: [['cookie', 'a=1; session=abc; session=d']] },
  { path: '/v1/things/1', headers: [['cookie', 'session=abc']] },
  { method: 'HEAD', path: '/v1/things/1' },
  { method: 'HEAD', path: '/v1/things/0' },
  { method: 'OPTIONS', path: '/v1/things/1' },
  { method: 'DELETE', path: '/v1/things/1' },
  { method: 'PUT', path: '/nowhere' },
];

const BODIES: readonly Sent[] = [
  typed(JSON_TYPE, '{"n":1}'),
  typed(JSON_TYPE, '{"n":"1"}'),
  typed(JSON_TYPE, '{"n":1,"m":2}'),
  typed(JSON_TYPE, '{"n":1,"n":2}'),
  typed(JSON_TYPE, '{"n":1} '),
  typed(JSON_TYPE, '\ufeff{"n":1}'),
  typed(JSON_TYPE, '{"n":\n01}'),
  typed(JSON_TYPE, `{"n":${'['.repeat(100)}`),
  typed(JSON_TYPE, Buffer.from([0x22, 0xff, 0x22])),
  typed(JSON_TYPE, `{"n":1,"m":"${'x'.repeat(3_000)}"}`),
  typed('application/json; charset=latin1', '{"n":1}'),
  typed('application/JSON;charset="utf-8"', '{"n":1}'),
  typed('text/xml', '<n/>'),
  typed('nonsense', '{"n":1}'),
  { method: 'POST', path: '/v1/things/1' },
  { method: 'POST', path: '/v1/things/1', body: '{"n":1}' },
  { path: '/v1/things/1', headers: [['content-type', JSON_TYPE]], body: '{"n":"x"}' },
  typed(JSON_TYPE, gzipSync('{"n":1}'), ['content-encoding', 'gzip']),
  typed(JSON_TYPE, gzipSync('{"n":"1"}'), ['content-encoding', 'gzip']),
  typed(JSON_TYPE, gzipSync(Buffer.alloc(100_000, ' ')), ['content-encoding', 'gzip']),
  typed(JSON_TYPE, brotliCompressSync('{"n":"1"}'), ['content-encoding', 'br']),
  typed(JSON_TYPE, '{"n":1}', ['content-encoding', 'gzip']),
  typed(JSON_TYPE, '{"n":1}', ['content-encoding', 'identity']),
  typed(JSON_TYPE, '{"n":1}', ['content-encoding', 'lzma']),
  typed(JSON_TYPE, '{"n":1}', ['content-encoding', 'gzip, br']),
  typed('application/x-www-form-urlencoded', 'n=1'),
  typed('application/x-www-form-urlencoded', 'n=x'),
  typed('application/x-www-form-urlencoded', 'n=1&n=2'),
  typed('application/x-www-form-urlencoded', 'n[$ne]=1'),
  typed('application/x-www-form-urlencoded', 'n=%zz'),
  typed('text/plain', 'short'),
  typed('text/plain', 'too long'),
  multipart(part('title', 'sea')),
  multipart(part('title', 'seaside')),
  multipart(part('file', 'x'), part('title', 'sea')),
  multipart(part('title', 'sea'), part('file', 'x'.repeat(3_000))),
  multipart(part('title', 'sea'), part('file', 'x'.repeat(5_000))),
  multipart(part('title', 'x'.repeat(3_000))),
  multipart(part('title', 'sea'), part('title', 'sea')),
  typed('multipart/form-data; boundary=B', `${part('title', 'sea')}--B`),
  typed('multipart/form-data', `${part('title', 'sea')}--B--\r\n`),
  typed('multipart/form-data; boundary=B', gzipSync(`${part('title', 'sea')}--B--\r\n`), ['content-encoding', 'gzip']),
];

const ANSWERS: readonly Sent[] = [
  answered(200, TOLD, '{"n":1}'),
  answered(200, TOLD, '{"n":"1"}'),
  answered(200, TOLD, '{"n":1,"m":1}'),
  answered(200, TOLD, '{'),
  answered(200, TOLD),
  answered(200, { 'content-type': JSON_TYPE }, '{"n":1}'),
  answered(200, { ...TOLD, 'x-count': 'one' }, '{"n":1}'),
  answered(200, { ...TOLD, 'content-type': 'text/html' }, '<p>'),
  answered(200, { ...TOLD, 'content-encoding': 'gzip' }, gzipSync('{"n":"1"}')),
  answered(200, { ...TOLD, 'content-encoding': 'gzip' }, gzipSync('{"n":1}')),
  answered(200, TOLD, `{"n":1,"m":"${'x'.repeat(3_000)}"}`),
  answered(404, {}, 'none'),
  answered(500, {}, 'broken'),
  { ...answered(200, TOLD, '{"n":"1"}'), path: '/v1/things/0' },
  { ...answered(200, TOLD), method: 'HEAD' },
  { ...answered(200, {}), method: 'HEAD' },
];

t.test('styles of parameters, forms, files that stream and their answers have the same verdicts offline', async (t) => {
  const answer = { status: 200, headers: TOLD, body: '{"n":1}' };
  await agreeOffline(t, RULES, [...CASES, ...HEADS, ...BODIES, ...ANSWERS], answer);
});
