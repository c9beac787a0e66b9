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
      paths:
        /items/{id}:
          parameters: [{name: id, in: path, required: true, schema: {type: string, maxLength: 4}}]
          get:
            parameters:
            - {name: q, in: query, schema: {type: string, maxLength: 2}}
            - {name: x-n, in: header, schema: {type: integer}}
            - {name: x-list, in: header, schema: {type: array, items: {type: integer}, maxItems: 2}}
            - {name: x-text, in: header, schema: {type: string, maxLength: 2}}
            - {name: x-needed, in: header, schema: {type: string}}
            - {name: sid, in: cookie, schema: {type: integer}}
            responses:
              "200":
                description: one
                headers:
                  x-n: {schema: {type: integer}}
                  x-text: {schema: {type: string, maxLength: 2}}
                content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: integer}}}}}
              "204": {description: none}
              "205": {description: reset, content: {application/json: {schema: {type: object, required: [id]}}}}
              "3XX": {description: elsewhere, headers: {location: {required: true, schema: {type: string}}}}
              "304": {description: same, content: {application/json: {schema: {type: object}}}}
              default: {description: else, content: {application/problem+json: {schema: {type: object, required: [code]}}}}
          put:
            requestBody:
              required: true
              content:
                application/json: {schema: {$ref: "#/components/schemas/Item"}}
                application/x-www-form-urlencoded: {schema: {$ref: "#/components/schemas/Item"}}
                multipart/form-data: {schema: {$ref: "#/components/schemas/Item"}}
                text/plain: {schema: {type: string, maxLength: 3}}
                application/octet-stream: {}
          post:
            requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Item"}}}}
          options: {responses: {"204": {description: none}}}
          delete: {deprecated: true, responses: {"204": {description: none}}}
        /matrix/{m}:
          get:
            parameters: [{name: m, in: path, required: true, style: matrix, schema: {type: integer}}]
        /needs:
          get:
            operationId: needs
            parameters:
            - {name: x-needed, in: header, required: true, schema: {type: string}}
        /audited:
          post:
            operationId: audited
            requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Item"}}}}
      components:
        schemas:
          Item: {type: object, required: [name], properties: {name: {type: string, maxLength: 4}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec:
  mode: Enforce
  schemaRefs: [api]
  limits: {bodyBytes: 4096, jsonDepth: 5}
  request: {unknownProperties: Report}
  response: {body: Enforce, headers: Enforce, undeclaredStatus: Enforce}
  overrides:
  - {operationId: needs, request: {unknownParameters: Report}}
  - {operationId: audited, mode: Audit}
`;

const JSON_TYPE = ['content-type', 'application/json'] as const;
const FORM = ['content-type', 'application/x-www-form-urlencoded'] as const;
const coded = (coding: string) => [JSON_TYPE, ['content-encoding', coding]] as const;
const ITEM = '{"name":"a"}';
const GET = { path: '/items/1' };
const PUT = { method: 'PUT', path: '/items/1' };
const multipart = (body: string): Sent => ({
  ...PUT,
  headers: [['content-type', 'multipart/form-data; boundary=b']],
  body: body.replaceAll('\n', '\r\n'),
});
const answered = (status: number, headers: { [name: string]: string }, body?: string | Buffer): Sent => ({
  ...GET,
  response: { status, headers, ...(body === undefined ? {} : { body }) },
});
const json = { 'content-type': 'application/json' };

const CASES: readonly Sent[] = [
  // paths
  GET,
  { path: '/items/%31' },
  { path: '/items/%C3%A9%C3%A9%C3%A9%C3%A9' },
  { path: '/items/éééé' },
  { path: '/items/ééééé' },
  { path: '/items/a%2Fb' },
  { path: '/items/a%zz' },
  { path: '/items/../x' },
  { path: '/items//1' },
  { path: '/items/' },
  { path: '/ITEMS/1' },
  { path: '/items/1#part' },
  { path: '/items/1;a=b' },
  { path: '/%69tems/1' },
  { path: 'http://a/items/1' },
  { path: 'http://b/items/1' },
  { path: 'http://a?q=1' },
  { path: 'items/1' },
  { method: 'OPTIONS', path: '*' },
  { method: 'GET', path: '*' },
  { path: '/matrix/;m=7' },
  { path: '/matrix/;m=x' },
  { path: '/matrix/7' },
  // queries
  { path: '/items/1?' },
  { path: '/items/1?q=ab' },
  { path: '/items/1?q=éé' },
  { path: '/items/1?q=%C3%A9%C3%A9' },
  { path: '/items/1?q=%C3%A9%C3%A9x' },
  { path: '/items/1?q=%FF' },
  { path: '/items/1?q=a&q=b' },
  { path: '/items/1?q=%' },
  { path: '/items/1?%71=abc' },
  { path: '/items/1?u=1&v=2' },
  { path: '/items/1?&&' },
  { path: '/items/1?q=a+b' },
  // header fields
  { ...GET, headers: [['X-N', '7']] },
  { ...GET, headers: [['x-n', '  7\t']] },
  {
    ...GET,
    headers: [
      ['x-n', '7'],
      ['X-N', '8'],
    ],
  },
  {
    ...GET,
    headers: [
      ['x-list', '1'],
      ['x-list', '2'],
    ],
  },
  { ...GET, headers: [['x-list', '1,2,3']] },
  { ...GET, headers: [['x-text', 'é']] },
  { ...GET, headers: [['x-text', 'éé']] },
  { ...GET, headers: [['x-text', 'ééé']] },
  {
    ...GET,
    headers: [
      ['connection', 'close, x-n'],
      ['x-n', 'z'],
    ],
  },
  {
    path: '/needs',
    headers: [
      ['x-needed', 'a'],
      ['connection', 'close, x-needed'],
    ],
  },
  { path: '/needs', headers: [['x-needed', 'a']] },
  { path: '/needs' },
  { path: '/needs?z=1', headers: [['x-needed', 'a']] },
  { path: '/needs?z=1' },
  { ...GET, headers: [['cookie', 'sid=1; other=x']] },
  { ...GET, headers: [['cookie', 'sid=x']] },
  { ...GET, headers: [['cookie', 'sid=1; sid=2']] },
  {
    ...GET,
    headers: [
      ['cookie', 'sid=1'],
      ['cookie', 'sid=2'],
    ],
  },
  // methods
  { ...GET, method: 'HEAD' },
  { ...GET, method: 'OPTIONS', response: { status: 204 } },
  { ...GET, method: 'PATCH' },
  { ...GET, method: 'DELETE', response: { status: 204 } },
  { path: '/nope' },
  { path: '/needs', method: 'HEAD' },
  // bodies
  { ...PUT, headers: [JSON_TYPE], body: ITEM },
  { ...PUT, headers: [JSON_TYPE], body: '' },
  { ...PUT },
  { ...PUT, body: ITEM },
  { ...PUT, headers: [JSON_TYPE, FORM], body: ITEM },
  { ...PUT, headers: [['content-type', 'application/json; charset=latin1']], body: ITEM },
  { ...PUT, headers: [['content-type', 'text/xml']], body: '<a/>' },
  { ...PUT, headers: [['content-type', 'nonsense']], body: ITEM },
  { ...PUT, headers: [JSON_TYPE], body: Buffer.from([0x22, 0xff, 0x22]) },
  { ...PUT, headers: [JSON_TYPE], body: `\ufeff${ITEM}` },
  { ...PUT, headers: [JSON_TYPE], body: '{"name":"a","name":"b"}' },
  { ...PUT, headers: [JSON_TYPE], body: '{"name":"a","more":1}' },
  { ...PUT, headers: [JSON_TYPE], body: '{"name":"aaaaa","more":1}' },
  { ...PUT, headers: [JSON_TYPE], body: '[[[[[[[1]]]]]]]' },
  { ...PUT, headers: [JSON_TYPE], body: `{"name":"${'x'.repeat(5000)}"}` },
  { ...PUT, headers: [JSON_TYPE, ['transfer-encoding', 'chunked']], body: `{"name":"${'x'.repeat(5000)}"}` },
  { ...PUT, headers: [JSON_TYPE, ['transfer-encoding', 'chunked']], body: ITEM },
  { ...PUT, headers: [JSON_TYPE, ['transfer-encoding', 'chunked']], body: '' },
  { ...PUT, headers: [['transfer-encoding', 'chunked']], body: '' },
  { ...PUT, method: 'POST', headers: [['transfer-encoding', 'chunked']], body: '' },
  { ...PUT, method: 'POST', headers: [JSON_TYPE], body: '' },
  { ...PUT, method: 'POST' },
  { ...PUT, headers: [['content-type', 'application/octet-stream']], body: Buffer.from([0, 255]) },
  { ...PUT, headers: [['content-type', 'text/plain']], body: 'abcd' },
  { ...GET, headers: [JSON_TYPE], body: ITEM },
  { ...PUT, headers: coded('gzip'), body: gzipSync(ITEM) },
  { ...PUT, headers: coded('br'), body: brotliCompressSync('{"name":1}') },
  { ...PUT, headers: coded('br'), body: brotliCompressSync(`"${'x'.repeat(100_000)}"`) },
  { ...PUT, headers: coded('gzip'), body: ITEM },
  { ...PUT, headers: coded('gzip'), body: gzipSync('') },
  { ...PUT, headers: coded('gzip'), body: Buffer.concat([gzipSync(ITEM), Buffer.from('x')]) },
  { ...PUT, headers: coded('gzip, br'), body: ITEM },
  { ...PUT, headers: coded('identity'), body: ITEM },
  { ...PUT, headers: coded('lzma'), body: ITEM },
  { ...PUT, headers: [FORM], body: 'name=a' },
  { ...PUT, headers: [FORM], body: 'name=aaaaa&z=%FF' },
  { ...PUT, headers: [FORM], body: 'z=1' },
  multipart('--b\ncontent-disposition: form-data; name="name"\n\na\n--b--\n'),
  multipart('--b\ncontent-disposition: form-data; name="name"\n\naaaaa\n--b--\n'),
  multipart('--b\ncontent-disposition: form-data; name="name"\n\na'),
  multipart('junk\n--b\ncontent-disposition: form-data; name="name"\n\na\n--b--\n'),
  { path: '/audited', method: 'POST', headers: [JSON_TYPE], body: '{"name":1}' },
  { path: '/audited?u=1', method: 'POST', headers: [JSON_TYPE], body: '{"name":1}' },
  { path: '/audited', method: 'POST', headers: [JSON_TYPE], body: '{' },
  // responses
  answered(200, json, '{"id":1}'),
  answered(200, json, '{"id":"a"}'),
  answered(200, json, ''),
  answered(200, {}, '{"id":1}'),
  answered(200, { 'content-type': 'text/html' }, '{"id":1}'),
  answered(200, { ...json, 'content-encoding': 'gzip' }, gzipSync('{"id":1}')),
  answered(200, { ...json, 'content-encoding': 'gzip' }, gzipSync('{"id":"a"}')),
  answered(200, { ...json, 'content-encoding': 'gzip' }, '{"id":1}'),
  answered(200, { ...json, 'x-n': 'z' }, '{"id":1}'),
  answered(200, { ...json, 'x-text': 'ééé' }, '{"id":1}'),
  answered(200, { ...json, 'x-text': 'éé' }, '{"id":1}'),
  answered(200, { ...json, connection: 'x-n', 'x-n': 'z' }, '{"id":1}'),
  answered(200, json, `{"id":${'1'.repeat(5000)}}`),
  answered(204, {}),
  answered(301, {}),
  answered(301, { location: '/x' }),
  answered(304, {}),
  answered(304, { 'content-length': '9' }),
  answered(205, { 'content-length': '0' }),
  answered(205, { 'transfer-encoding': 'chunked' }),
  answered(205, { ...json, 'transfer-encoding': 'chunked' }),
  answered(205, { ...json, 'content-length': '2' }, '{}'),
  answered(500, { 'content-length': '0' }),
  answered(500, { 'transfer-encoding': 'chunked' }, ''),
  answered(500, { 'content-type': 'application/problem+json' }, '{"code":"x"}'),
  answered(500, { 'content-type': 'application/problem+json' }, '{}'),
  { ...answered(200, json), method: 'HEAD' },
  { ...answered(200, { ...json, 'x-n': 'z' }), method: 'HEAD' },
  { ...answered(200, {}), method: 'OPTIONS' },
  { path: '/needs', headers: [['x-needed', 'a']], response: { status: 418 } },
];

t.test('offline and in the path the same requests and responses have the same verdicts', async (t) => {
  await agreeOffline(t, RULES, CASES);
});
