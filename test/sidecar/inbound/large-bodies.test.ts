import { createHash } from 'node:crypto';
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
        /list:
          post:
            requestBody: {required: true, content: {application/json: {schema: {type: array, items: {type: integer}}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec: {mode: MODE, schemaRefs: [api], limits: {bodyBytes: 32Mi}}
`;

for (const mode of ['Enforce', 'Audit'] as const) {
  t.test(`${mode}: bodies of some MB are judged, and arrive as they were sent`, async (t) => {
    const app = await startApp(t, (request, response) => {
      const hash = createHash('sha256');
      request.on('data', (chunk) => hash.update(chunk));
      request.on('end', () => response.end(hash.digest('hex')));
    });
    const sidecar = await startInbound(t, app.port, 'auto', RULES.replace('MODE', mode));
    const send = async (body: Buffer, framing: readonly Buffer[]) => {
      const caller = await sidecar.connectTls('client');
      for (const part of framing) caller.write(part);
      const answer = await readAll(caller);
      return {
        status: Number(answer.split(' ')[1]),
        isWhole: answer.includes(createHash('sha256').update(body).digest('hex')),
      };
    };
    const head = (framing: string) =>
      Buffer.from(
        `POST /list HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n${framing}\r\n\r\n`,
      );
    const withLength = (body: Buffer) => send(body, [head(`content-length: ${body.length}`), body]);
    const chunked = (body: Buffer) => {
      const chunk = Buffer.from(`${body.length.toString(16)}\r\n`);
      return send(body, [head('transfer-encoding: chunked'), chunk, body, Buffer.from('\r\n0\r\n\r\n')]);
    };
    const numbers = (last: string) => Buffer.from(`[${'123456, '.repeat(700_000)}${last}]`);
    const right = numbers('1');
    t.same(await withLength(right), { status: 200, isWhole: true });
    t.same(await chunked(right), { status: 200, isWhole: true });
    const wrong = mode === 'Enforce' ? { status: 400, isWhole: false } : { status: 200, isWhole: true };
    t.same(await withLength(numbers('"x"')), wrong);
    t.same(await withLength(numbers('1,')), wrong);
    const lines = await sidecar.log(4);
    t.match(lines[2], { code: 'invalid_body', reason: /^body \/700000: must be integer$/ });
    t.match(lines[3], { code: 'malformed_body', reason: /^body: expected a value at line 1, column 5600004$/ });
  });
}
