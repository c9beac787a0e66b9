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

const KEYED = `${RULES.slice(0, RULES.indexOf('        /item:'))}        /item:
          post:
            requestBody:
              content: {application/json: {schema: {additionalProperties: {type: integer}}}}
            responses:
              default: {description: any, content: {application/json: {schema: {additionalProperties: {type: integer}}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec: {mode: Enforce, schemaRefs: [api], response: {body: Enforce}}
`;

t.test('names that callers chose are not told where they look like a secret or a person', async (t) => {
  const app = await startApp(t, (_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end('{"jane@example.com":"x"}');
  });
  const sidecar = await startInbound(t, app.port, 'auto', KEYED);
  const token = `eyJhbGciOiJIUzI1NiJ9.${'eyJzdWIiOiIxMjM0NTY3ODkwIn0'.repeat(8)}.dozjgNryP4J3jVmNHl0w5N`;
  const sent: readonly (readonly [string, string])[] = [
    [`/item?${token}`, '{}'],
    [`/item?4111111111111111=1`, '{}'],
    [`/item?jane%40example.com`, '{}'],
    ['/item', '{"4111111111111111":"x"}'],
    ['/item', '{"jane@example.com":"x"}'],
    ['/item', JSON.stringify({ [token]: 'x' })],
    ['/item', '{}'],
    ['/item', '{"plain":"x"}'],
  ];
  for (const [target, body] of sent) {
    const caller = await sidecar.connectTls('client');
    const head = `POST ${target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n`;
    caller.write(`${head}content-length: ${body.length}\r\n\r\n${body}`);
    t.notMatch(await readAll(caller), /4111|eyJ|jane/);
  }
  const lines = await sidecar.log(sent.length);
  for (const line of lines) t.notMatch(JSON.stringify(line), /4111|eyJ|jane/);
  t.match(lines.at(-1), { reason: 'body /plain: must be integer', details: [{ pointer: '/plain' }] });
  t.match(lines.at(-2), { code: 'invalid_response', details: [{ pointer: '/[redacted]' }] });
});
