import t from 'tap';
import { readAll, startInbound } from '../../support/inbound-sidecar.ts';
import { startApp } from '../../support/start-app.ts';

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
        /blob: {post: {requestBody: {content: {application/octet-stream: {}}}}}
        /skipped: {post: {requestBody: {content: {application/json: {schema: {type: object}}}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec:
  mode: MODE
  schemaRefs: [api]
  limits: {bodyBytes: 4Ki}
  overrides: [{path: /skipped, request: {body: Skip}}]
`;

for (const mode of ['Enforce', 'Audit']) {
  t.test(
    `${mode}: bodies that nobody reads keep to limits.bodyBytes, whether their length is told or not`,
    async (t) => {
      const came: { bytes: number; isWhole: boolean }[] = [];
      const app = await startApp(t, (request, response) => {
        const one = { bytes: 0, isWhole: false };
        came.push(one);
        request.on('data', (chunk: Buffer) => {
          one.bytes += chunk.length;
        });
        request.on('error', () => {});
        request.on('end', () => {
          one.isWhole = true;
          response.end();
        });
      });
      const sidecar = await startInbound(t, app.port, 'http', RULES.replace('MODE', mode));
      const post = async (path: string, chunks: readonly string[], isChunked: boolean) => {
        const caller = await sidecar.connectTls('client');
        caller.on('error', () => {});
        const type = path === '/blob' ? 'application/octet-stream' : 'application/json';
        const length = chunks.join('').length;
        const framing = isChunked ? 'transfer-encoding: chunked' : `content-length: ${length}`;
        caller.write(
          `POST ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: ${type}\r\n${framing}\r\n\r\n`,
        );
        for (const chunk of chunks) caller.write(isChunked ? `${chunk.length.toString(16)}\r\n${chunk}\r\n` : chunk);
        if (isChunked) caller.write('0\r\n\r\n');
        return Number((await readAll(caller)).split(' ')[1]);
      };
      const long = Array.from({ length: 9 }, () => 'x'.repeat(500));
      const refused = mode === 'Enforce' ? 413 : 200;
      let lines = 0;
      for (const path of ['/blob', '/skipped']) {
        for (const isChunked of [true, false]) {
          t.equal(await post(path, long.slice(1), isChunked), 200, `${path} short`);
          t.equal(await post(path, long, isChunked), refused, `${path} long, chunked: ${isChunked}`);
          lines += 2;
          const { code, reason } = (await sidecar.log(lines)).at(-1) ?? {};
          t.equal(code, 'body_too_large');
          t.match(reason, /limits.bodyBytes 4096/);
          if (mode === 'Audit') t.match(came.at(-1), { bytes: 4_500, isWhole: true });
          else t.not(came.at(-1)?.bytes, 4_500);
        }
      }
    },
  );
}
