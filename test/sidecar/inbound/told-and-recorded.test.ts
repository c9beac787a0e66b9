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
  lifecycle: {state: Deprecated, since: "2026-01-31", sunset: "2026-12-31"}
  openapi:
    inline: |
      openapi: 3.1.0
      info: {title: api, version: "1"}
      paths:
        /item:
          post:
            requestBody:
              required: true
              content: {application/json: {schema: {type: object, properties: {card: {type: string, maxLength: 4}}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec: {mode: Enforce, schemaRefs: [api], fieldDetails: {namespaces: [NAMESPACE]}}
`;

async function post(t: Parameters<typeof startApp>[0], namespace: string, body: string) {
  const app = await startApp(t, (_request, response) => response.end('done'));
  const sidecar = await startInbound(t, app.port, 'auto', RULES.replace('NAMESPACE', namespace));
  const caller = await sidecar.connectTls('client');
  const head = `POST /item HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n`;
  caller.write(`${head}content-length: ${body.length}\r\n\r\n${body}`);
  const answer = await readAll(caller);
  const [line] = await sidecar.log(1);
  return { answer, line };
}

const CARD = '{"card":"4111111111111111"}';

t.test('only callers that the policy trusts are told what is wrong, and nobody is told the value', async (t) => {
  const trusted = await post(t, 'test', CARD);
  t.match(trusted.answer, /^HTTP\/1\.1 400 /);
  t.match(JSON.parse(trusted.answer.split('\r\n\r\n')[1] ?? ''), {
    code: 'invalid_body',
    errors: [{ in: 'body', pointer: '/card', keyword: 'maxLength', message: 'must NOT have more than 4 characters' }],
  });
  const other = await post(t, 'elsewhere', CARD);
  t.same(Object.keys(JSON.parse(other.answer.split('\r\n\r\n')[1] ?? '')), ['title', 'status', 'code']);
  for (const { answer, line } of [trusted, other]) {
    t.notMatch(answer + JSON.stringify(line), /4111/);
    t.match(line, {
      code: 'invalid_body',
      deprecated: true,
      details: [{ pointer: '/card', keyword: 'maxLength', shape: 'string(16) digits' }],
    });
  }
});

t.test('a deprecated operation is answered, and its caller told when it ends', async (t) => {
  const { answer, line } = await post(t, 'test', '{}');
  t.match(answer, /^HTTP\/1\.1 200 /);
  t.match(answer, /\r\ndeprecation: @1769817600\r\n/i);
  t.match(answer, /\r\nsunset: Thu, 31 Dec 2026 00:00:00 GMT\r\n/i);
  t.match(line, { decision: 'allow', deprecated: true });
});
