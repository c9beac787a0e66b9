import { readFile, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { dirname, join } from 'node:path';
import t from 'tap';
import { jwks, signer } from '../../policy/authentication/tokens.ts';
import { type InboundSidecar, readAll, startInbound } from '../../support/inbound-sidecar.ts';
import { startApp } from '../../support/start-app.ts';
import { runReplay } from './replay-lines.ts';

const policy = (name: string, spec: string, group = 'security.istio.io/v1') => `apiVersion: ${group}
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: test}
spec: ${spec}
`;
const defaults = (spec: string) => `apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: ${spec}
`;

const READS = policy(
  'reads',
  '{selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {methods: [GET], notPaths: [/closed*]}}]}]}',
);
const BY_TEAM = policy('by-team', '{rules: [{when: [{key: "request.headers[x-team]", values: [red]}]}]}');
const CLIENTS = policy(
  'clients',
  '{rules: [{to: [{operation: {paths: [/remote]}}], when: [{key: remote.ip, values: [203.0.113.0/24]}, {key: connection.sni, values: ["*.example"]}]}]}',
);
const NO_OLD = policy('no-old', '{action: DENY, rules: [{to: [{operation: {paths: [/old*]}}]}]}');
const TRIED = policy(
  'tried',
  '{mode: Audit, action: DENY, rules: [{to: [{operation: {paths: [/tried]}}]}]}',
  'lateral.dev/v1alpha1',
);
const TRUSTING = defaults('{numTrustedProxies: 1}');
const ALL = [READS, BY_TEAM, CLIENTS, NO_OLD, TRIED, TRUSTING];

const reached: RequestListener = (_request, response) => response.end('reached');

function asking(sidecar: InboundSidecar) {
  return async (request: string, headers: readonly string[] = [], servername = '') => {
    const caller = await sidecar.connectTls('client', servername === '' ? {} : { servername });
    const head = [`${request} HTTP/1.1`, 'host: a', 'connection: close', ...headers];
    caller.write(`${head.join('\r\n')}\r\n\r\n`);
    return Number((await readAll(caller)).split(' ')[1]);
  };
}

async function replaying(log: string, policies: readonly string[]) {
  const file = join(dirname(log), 'replayed.yaml');
  await writeFile(file, policies.join('---\n'));
  return runReplay('--log', log, '--policies', file, '--json');
}

t.test('what a sidecar has logged', async (t) => {
  const sidecar = await startInbound(t, (await startApp(t, reached)).port, 'auto', ALL.join('---\n'));
  const ask = asking(sidecar);
  const forwarded = 'x-forwarded-for: 203.0.113.9';
  const asked: readonly [number, ...Parameters<typeof ask>][] = [
    [200, 'GET /orders/1?page=2&token=secret'],
    [200, 'GET /orders/2'],
    [403, 'GET /closed'],
    [200, 'PUT /orders/1', ['X-Team: red']],
    [403, 'PUT /orders/1', ['x-team: blue', 'x-team: green']],
    [403, 'PUT /orders/1'],
    [200, 'POST /remote', [forwarded], 'orders.example'],
    [403, 'POST /remote', [forwarded]],
    [403, 'POST /remote', [], 'orders.example'],
    [403, 'GET /old/1'],
    [200, 'GET /tried'],
    [400, 'GET /a//b'],
  ];
  for (const [status, ...request] of asked) t.equal(await ask(...request), status, request.join(' '));
  const connection = await sidecar.connectTls('client');
  connection.write('no HTTP at all\n');
  await readAll(connection);
  await sidecar.log(asked.length + 1);
  const log = join(sidecar.directory, 'server.log');
  const decided = asked.length; // an ambiguous path never came to authorization; the TCP connection did

  await t.test('is decided the same by the same policies', async (t) => {
    const { report, code } = await replaying(log, ALL);
    t.match(report, { lines: decided + 1, same: decided, passedOver: { before_authorization: 1 } });
    t.strictSame(report.differences, []);
    t.equal(code, 0);
  });

  await t.test('differs by changed policies where they differ, and nowhere else', async (t) => {
    const noOrders = policy(
      'no-orders',
      '{action: DENY, rules: [{to: [{operation: {paths: ["/orders/{*}"], methods: [GET]}}]}]}',
    );
    const { report, code } = await replaying(log, [READS, BY_TEAM, CLIENTS, noOrders, TRIED, TRUSTING]);
    t.equal(code, 1);
    t.match(report, { newlyRefused: 2, newlyAllowed: 1, otherRule: 1, undecidable: 0, same: decided - 4 });
    t.match(report.differences, [
      { count: 2, path: '/orders/{*}', before: 'allow', after: 'deny authorization_denied', policy: 'test/no-orders' },
      {
        count: 1,
        path: '/old/{*}',
        before: 'deny authorization_denied',
        after: 'allow',
        policy: 'test/reads',
        policyBefore: 'test/no-old',
      },
      // To what is not HTTP a DENY rule of paths denies all.
      { kind: 'otherRule', count: 1, method: null, policy: 'test/no-orders', policyBefore: 'test/no-old' },
    ]);
  });

  await t.test('tells what ending a trial would refuse', async (t) => {
    const { report } = await replaying(log, [
      READS,
      BY_TEAM,
      CLIENTS,
      NO_OLD,
      TRIED.replace('Audit', 'Enforce'),
      TRUSTING,
    ]);
    t.match(report, { newlyRefused: 1, newlyAllowed: 0, otherRule: 0, same: decided - 1 });
    t.match(report.differences, [{ path: '/tried', before: 'audit authorization_denied', policy: 'test/tried' }]);
  });

  await t.test('tells what the whole mesh in audit would let through', async (t) => {
    const { report } = await replaying(log, [...ALL.slice(0, -1), defaults('{numTrustedProxies: 1, mode: Audit}')]);
    t.match(report, { newlyRefused: 0, newlyAllowed: 7, otherRule: 0, undecidable: 0 });
  });

  await t.test('cannot be decided by a header that no policy looked at, where it matters', async (t) => {
    const region = policy(
      'by-region',
      '{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}], when: [{key: "request.headers[x-region]", values: [eu]}]}]}',
    );
    const { report, code } = await replaying(log, [...ALL, region]);
    t.match(report, { undecidable: 1, same: decided - 1, missing: [{ input: 'header x-region', count: 1 }] });
    t.equal(code, 0);
  });
});

t.test('what a sidecar has logged of tokens', async (t) => {
  const key = await signer();
  const issuer = 'https://issuer.example';
  const authentication = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: test}
spec: ${JSON.stringify({ jwtRules: [{ issuer, jwks: jwks(key), fromParams: ['token'] }] })}
`;
  const tenants = (field: string) =>
    policy('tenants', `{rules: [{when: [{key: "request.auth.claims[${field}]", values: [one]}]}]}`);
  const sidecar = await startInbound(
    t,
    (await startApp(t, reached)).port,
    'auto',
    [authentication, tenants('realm][tenant')].join('---\n'),
  );
  const ask = asking(sidecar);
  const tokenOf = (realm: unknown) =>
    key.sign({ iss: issuer, sub: 'ann', exp: Math.floor(Date.now() / 1_000) + 300, realm });
  const [one, two] = [await tokenOf({ tenant: 'one', area: 'eu' }), await tokenOf({ tenant: 'two' })];
  t.equal(await ask(`GET /?token=${one}`), 200);
  t.equal(await ask(`GET /?token=${two}`), 403);
  t.equal(await ask('GET /?token=nonsense'), 401);
  t.equal(await ask('GET /'), 403);
  await sidecar.log(4);
  const log = join(sidecar.directory, 'server.log');
  const text = await readFile(log, 'utf8');
  t.notMatch(text, one);
  t.notMatch(text, '"area"', 'claims that no policy looks at');
  const same = await replaying(log, [authentication, tenants('realm][tenant')]);
  t.match(same, { code: 0, report: { same: 3, undecidable: 0, passedOver: { before_authorization: 1 } } });
  const other = await replaying(log, [authentication, tenants('realm][area')]);
  t.match(other.report, { same: 1, undecidable: 2, missing: [{ input: 'claim realm.area', count: 2 }] });
  const all = await replaying(log, [authentication, tenants('realm][area'), policy('all', '{rules: [{}]}')]);
  t.match(all, { code: 1, report: { newlyAllowed: 2, undecidable: 0 } });
});
