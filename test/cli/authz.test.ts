import { join } from 'node:path';
import t from 'tap';
import { UsageError } from '#cli/command.ts';
import { authzCommand } from '#cli/commands/authz.ts';

async function authz(...args: readonly string[]) {
  let stdout = '';
  let stderr = '';
  const code = await authzCommand.run(args, { stdout: (text) => (stdout += text), stderr: (text) => (stderr += text) });
  return { code, stdout, stderr };
}

const POLICY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]
    to: [{operation: {methods: [GET], ports: ["8080"]}}]
    when: [{key: "request.headers[x-team]", values: [red]}]
`;
const WEB = ['--from', 'spiffe://cluster.local/ns/shop/sa/web', '--header', 'X-Team: red'];
const ORDERS = ['--to', 'shop/orders:8080', '--label', 'app=orders'];

t.test('prints the deciding rule, and exits 0 for a denial too', async (t) => {
  const policies = ['--policies', t.testdir({ 'a.yaml': POLICY })];
  t.same(await authz(...policies, ...ORDERS, ...WEB, '--request', 'GET /orders/1'), {
    code: 0,
    stdout: 'allow allowed: rule 0 of ALLOW policy shop/orders matched\n',
    stderr: '',
  });
  t.same(await authz(...policies, ...ORDERS, ...WEB, '--request', 'POST /orders/1', '--json'), {
    code: 0,
    stdout: `${JSON.stringify({
      decision: 'deny',
      code: 'authorization_not_allowed',
      policy: 'shop/orders',
      rule: 0,
      reason: 'no rule of 1 ALLOW policy matched; nearest shop/orders rule 0: methods: POST is not one of GET',
    })}\n`,
    stderr: '',
  });
});

t.test('a path beyond ASCII is bytes of UTF-8, to rules too', async (t) => {
  const policies = (mode: string, path: string) => `
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {pathNormalization: ${mode}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec: {rules: [{to: [{operation: {paths: ["${path}"]}}]}]}
`;
  const root = t.testdir({
    'none.yaml': policies('NONE', '/é*'),
    'base.yaml': policies('BASE', '/%C3%A9*'),
    'raw.yaml': policies('BASE', '/é*'),
  });
  const answers = ['none.yaml', 'base.yaml', 'raw.yaml'].map(async (file) => {
    const { stdout } = await authz('--policies', join(root, file), ...ORDERS, '--request', 'GET /éa');
    return stdout.split(':')[0];
  });
  t.same(await Promise.all(answers), ['allow allowed', 'allow allowed', 'deny authorization_not_allowed']);
});

t.test('a batch answers every line in order, whatever is in it', async (t) => {
  const to = { namespace: 'shop', name: 'orders', labels: { app: 'orders' }, port: 8080 };
  const from = 'spiffe://cluster.local/ns/shop/sa/web';
  const lines = [
    JSON.stringify({
      from,
      to,
      method: 'GET',
      path: '/orders/1?page=2',
      headers: { 'x-team': 'red' },
      claims: { a: 1 },
      remoteIp: '10.0.0.1',
    }),
    '{broken',
    JSON.stringify({ from: 'spiffe://cluster.local', to }),
    JSON.stringify({ from: null, to, path: '/a/../b' }),
    JSON.stringify({ method: 'GET' }),
    JSON.stringify({ from, to: { namespace: 'shop', name: 'orders', labels: {} } }),
    '[]',
    JSON.stringify({ from, to, protocol: 'tcp' }),
  ];
  const root = t.testdir({ 'a.yaml': POLICY, 'batch.jsonl': `${lines.join('\n')}\n` });
  const { code, stdout } = await authz('--policies', join(root, 'a.yaml'), '--batch', join(root, 'batch.jsonl'));
  t.equal(code, 0);
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(answers, [
    { decision: 'allow', code: 'allowed', policy: 'shop/orders', rule: 0 },
    { decision: 'deny', code: 'invalid_request', policy: null, rule: null, reason: /^line \d+: not JSON/ },
    { decision: 'deny', code: 'invalid_spiffe_id', reason: /has no path/ },
    { decision: 'deny', code: 'ambiguous_path', reason: /dot segment/ },
    { decision: 'deny', code: 'invalid_request', reason: /^line \d+: request: missing field to$/ },
    { decision: 'deny', code: 'authorization_default_deny' },
    { decision: 'deny', code: 'invalid_request' },
    { decision: 'deny', code: 'authorization_not_allowed', policy: 'shop/orders', rule: 0 },
  ]);
  t.same(Object.keys(answers[0]), ['decision', 'code', 'policy', 'rule', 'reason']);
});

t.test('a principal of any name of the trust domain is that of all of them', async (t) => {
  const policies = ['--policies', t.testdir({ 'a.yaml': POLICY }), '--json', '--trust-domain', 'new.example'];
  const decide = async (name: string, ...aliases: readonly string[]) => {
    const caller = ['--from', `spiffe://${name}/ns/shop/sa/web`, '--header', 'X-Team: red', '--request', 'GET /'];
    const given = aliases.flatMap((alias) => ['--trust-domain-alias', alias]);
    return JSON.parse((await authz(...policies, ...ORDERS, ...caller, ...given)).stdout).decision;
  };
  t.equal(await decide('new.example', 'old.example', 'cluster.local'), 'allow');
  t.equal(await decide('old.example', 'old.example', 'cluster.local'), 'allow');
  t.equal(await decide('new.example'), 'allow', 'cluster.local is the own domain, whatever it is called');
  t.equal(await decide('other.example', 'cluster.local'), 'deny');
  await t.rejects(decide('new.example', 'A b'), UsageError);
});

t.test('broken policies decide nothing', async (t) => {
  const root = t.testdir({ 'a.yaml': POLICY.replace('rules', 'rulse') });
  const { code, stdout, stderr } = await authz('--policies', root, ...ORDERS, '--request', 'GET /');
  t.same({ code, stdout }, { code: 1, stdout: '' });
  t.match(stderr, /a\.yaml:7:3: error unknown_field spec: unknown field rulse/);
});

t.test('one request has claims, addresses and a server name', async (t) => {
  const rules = `
  - when: [{key: "request.auth.claims[group]", values: [admin]}]
  - from: [{source: {remoteIpBlocks: [203.0.113.0/24]}}]
  - when: [{key: connection.sni, values: [orders.shop]}, {key: destination.ip, values: [10.0.0.1]}]`;
  const policy = `${POLICY.slice(0, POLICY.indexOf('  rules:'))}  rules:${rules}\n`;
  const policies = ['--policies', t.testdir({ 'a.yaml': policy }), '--json', '--request', 'GET /'];
  const ruleOf = async (...args: readonly string[]) =>
    JSON.parse((await authz(...policies, ...ORDERS, ...args)).stdout);
  t.match(await ruleOf('--claims', '{"group": ["dev", "admin"]}'), { decision: 'allow', rule: 0 });
  t.match(await ruleOf('--claims', '{"group": "dev"}'), { decision: 'deny' });
  t.match(await ruleOf('--remote-ip', '203.0.113.7'), { decision: 'allow', rule: 1 });
  t.match(await ruleOf('--sni', 'orders.shop', '--destination-ip', '10.0.0.1'), { decision: 'allow', rule: 2 });
});

t.test('wrong usage is told apart', async (t) => {
  const policies = ['--policies', t.testdir({ 'a.yaml': POLICY })];
  const request = ['--request', 'GET /'];
  await t.rejects(authz(...ORDERS, ...request), new UsageError('--policies PATH is missing'));
  await t.rejects(authz(...policies, ...request), new UsageError('--to NAMESPACE/WORKLOAD is missing'));
  await t.rejects(authz(...policies, ...ORDERS), new UsageError("--request 'METHOD PATH' is missing"));
  await t.rejects(authz(...policies, '--to', 'orders', ...request), /expected NAMESPACE\/WORKLOAD/);
  await t.rejects(authz(...policies, '--to', 'shop/orders:99999', ...request), /99999 is outside of 1 to 65535/);
  await t.rejects(authz(...policies, ...ORDERS, '--request', 'GET'), /expected 'METHOD PATH'/);
  await t.rejects(authz(...policies, ...ORDERS, ...request, '--header', 'x'), /expected 'NAME: VALUE'/);
  await t.rejects(authz(...policies, ...ORDERS, ...request, '--claims', '{broken'), /--claims is not JSON/);
  await t.rejects(authz(...policies, ...ORDERS, ...request, '--claims', '[]'), /claims: expected an object of claims/);
  await t.rejects(authz(...policies, '--batch', 'x', ...ORDERS), /leave them out/);
  await t.rejects(authz(...policies, ...ORDERS, ...request, '--polices', 'x'), UsageError);
});
