import t from 'tap';
import { loadResources } from '#policy/load-resources.ts';
import { contentProblems } from '#policy/resource/content-problems.ts';
import { codeOf, findings, openApi, validationOf } from './validation-of.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

const HOOK = (field: string) =>
  `    post: {operationId: on-${field}, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [${field}]}}}}}\n`;
const DOCUMENT = `${openApi('3.1.0', '  /health: {get: {}}\n')}webhooks:\n  push:\n${HOOK('commits')}  issues:\n${HOOK('issue')}`;

const sent = (event: string, body: object) => ({
  headers: ['content-type', 'application/json', 'X-GitHub-Event', event],
  body: JSON.stringify(body),
});

t.test('webhooks arrive where the policy says, told apart by a header field', async (t) => {
  const { validation, problems } = await validationOf(DOCUMENT, {
    webhooks: [{ path: '/hooks/github', eventHeader: 'x-github-event' }],
    overrides: [{ operationId: 'on-issue', mode: 'Audit' }],
  });
  t.same(problems, []);
  const at = 'POST /hooks/github';
  t.equal(codeOf(validation, at, sent('push', { commits: [] })), 'allowed');
  t.equal(codeOf(validation, at, sent('push', { issue: 1 })), 'invalid_body');
  t.equal(codeOf(validation, at, sent('issues', { issue: 1 })), 'allowed');
  t.equal(findings(validation, at, sent('issues', {}))[0]?.effect, 'audit', 'overrides are of webhooks too');
  t.equal(codeOf(validation, at, sent('star', {})), 'undocumented_path');
  t.equal(codeOf(validation, at, { body: '{}' }), 'undocumented_path', 'no event is named');
  t.equal(codeOf(validation, 'GET /hooks/github', sent('push', {})), 'undocumented_path');
  t.equal(codeOf(validation, 'GET /health', { headers: [] }), 'allowed');
});

t.test('one webhook at a path needs no header field, several are refused without', async (t) => {
  const one = await validationOf(DOCUMENT, { webhooks: [{ path: '/hook', names: ['push'] }] });
  t.equal(codeOf(one.validation, 'POST /hook', { body: '{"commits":1}' }), 'allowed');
  t.equal(codeOf(one.validation, 'POST /hook', { body: '{"issue":1}' }), 'invalid_body');
  t.equal(codeOf(one.validation, 'PUT /hook', { body: '{"issue":1}' }), 'undocumented_method');
  const several = await validationOf(DOCUMENT, { webhooks: [{ path: '/hook' }] });
  t.match(several.problems, [/several webhooks arrive by POST at \/hook: webhooks.eventHeader must say/]);
  t.equal(codeOf(several.validation, 'POST /hook', { body: '{"commits":1}' }), 'schema_unavailable');
  const apart = await validationOf(DOCUMENT, {
    webhooks: [
      { path: '/a', names: ['push'] },
      { path: '/b', names: ['push', 'issues'] },
    ],
  });
  t.equal(codeOf(apart.validation, 'POST /a', { body: '{"commits":1}' }), 'allowed', 'each path is judged for itself');
  const none = await validationOf(DOCUMENT);
  t.equal(codeOf(none.validation, 'POST /hook', { body: '{}' }), 'undocumented_path', 'the policy names no path');
});

t.test('names that no document has are errors', async (t) => {
  const check = async (webhooks: string) => {
    const resources = `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: api, namespace: shop}
spec:
  openapi:
    inline: |
      ${DOCUMENT.trimEnd().replaceAll('\n', '\n      ')}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: shop}
spec: {schemaRefs: [api], webhooks: [${webhooks}], overrides: [{path: /hook, request: {body: Skip}}]}
`;
    const loaded = loadResources([{ path: 'a.yaml', text: resources }], () => undefined, MESH);
    const problems = [...loaded.problems, ...(await contentProblems(loaded.sourced))];
    return problems.filter(({ severity }) => severity === 'error').map(({ message }) => message);
  };
  t.same(await check('{path: /hook, names: [push]}'), []);
  t.match(await check('{path: /hook, names: [pusch]}'), [/no document describes a webhook pusch; did you mean push\?/]);
  t.match(await check('{path: "hook?"}'), [/hook\? is not a path/]);
});
