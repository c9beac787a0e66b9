import t, { type Test } from 'tap';
import { freePorts } from '../../support/free-ports.ts';
import { readAll, startInbound } from '../../support/inbound-sidecar.ts';
import { runLateral } from '../../support/run-lateral.ts';
import { startApp } from '../../support/start-app.ts';
import { tcpApp } from '../../support/tcp-app.ts';

const policy = (name: string, spec: string) => `apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: test}
spec: ${spec}
`;
const AUDIT = `apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {mode: Audit}
`;
const READS = policy('reads', '{rules: [{to: [{operation: {methods: [GET]}}]}]}');
const NO_ADMIN = policy('no-admin', '{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}');
const TRIED = policy(
  'tried',
  '{mode: Audit, action: DENY, rules: [{to: [{operation: {paths: [/old]}}]}, {to: [{operation: {paths: [/older, /admin]}}]}]}',
);
const TRIED_ALLOWANCE = policy('tried-allowance', '{mode: Audit, rules: [{to: [{operation: {methods: [GET, PUT]}}]}]}');

async function start(t: Test, ...policies: readonly string[]) {
  const app = await startApp(t, (_request, response) => response.end('reached'));
  const sidecar = await startInbound(t, app.port, 'auto', policies.join('---\n'));
  const status = async (method: string, path: string) => {
    const caller = await sidecar.connectTls('client');
    caller.write(`${method} ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
    return Number((await readAll(caller)).split(' ')[1]);
  };
  return { sidecar, status };
}

function counted(metrics: string): string[] {
  return metrics.split('\n').filter((line) => line.startsWith('lateral_audited_refusals_total{'));
}

t.test(
  'policies in mode Audit refuse and allow nothing; what they would is counted by rule, and explained',
  async (t) => {
    const { status, sidecar } = await start(t, READS, NO_ADMIN, TRIED, TRIED_ALLOWANCE);
    t.equal(await status('GET', '/'), 200);
    t.equal(await status('GET', '/old'), 200);
    t.equal(await status('GET', '/older'), 200);
    t.equal(await status('GET', '/older'), 200);
    t.equal(await status('GET', '/admin'), 403, 'what is in force refuses as without them');
    t.equal(await status('PUT', '/'), 403);
    const lines = await sidecar.log(6);
    const [plain, old, , , denied, put] = lines;
    t.match(plain, { decision: 'allow', code: 'allowed', policy: 'test/reads' });
    t.match(old, { decision: 'audit', code: 'authorization_denied', policy: 'test/tried', rule: 0, status: 200 });
    t.match(denied, { decision: 'deny', policy: 'test/no-admin' });
    t.match(put, {
      decision: 'deny',
      reason: /; on trial: would be allowed: rule 0 of ALLOW policy test\/tried-allowance matched$/,
    });
    const of = (rule: number) => `direction="inbound",code="authorization_denied",policy="test/tried",rule="${rule}"`;
    t.strictSame(counted(await sidecar.metrics()).sort(), [
      `lateral_audited_refusals_total{${of(0)}} 1`,
      `lateral_audited_refusals_total{${of(1)}} 2`,
    ]);
    const id = String(old?.decisionId);
    const { stdout } = await runLateral(t, ['explain', id, '--sidecar', String(sidecar.adminPort)]);
    t.match(
      stdout,
      /^result +let through with status 200; enforced, it would have been refused: authorization_denied$/m,
    );
    t.match(stdout, /^policy +test\/tried, rule 0/m);
    t.match(stdout, /^reason +on trial: would be refused: rule 0 of DENY policy test\/tried matched$/m);
  },
);

t.test('an app that is away takes nothing from the record of what would have been refused', async (t) => {
  const [closed = 0] = await freePorts(1);
  const sidecar = await startInbound(t, closed, 'http', [READS, TRIED].join('---\n'));
  const caller = await sidecar.connectTls('client');
  caller.write('GET /old HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  t.match(await readAll(caller), /^HTTP\/1.1 503 /);
  t.match(await sidecar.log(1), [
    {
      ...{ decision: 'audit', code: 'upstream_unavailable', policy: 'test/tried', rule: 0 },
      reason:
        /; before that it was let through, though authorization_denied: on trial: would be refused: rule 0 of DENY/,
    },
  ]);
  t.match(counted(await sidecar.metrics()), [/code="authorization_denied",policy="test\/tried",rule="0"\} 1/]);
});

t.test('an ALLOW policy on trial where none is in force', async (t) => {
  const open = AUDIT.replace('mode: Audit', 'authorization: {default: Allow}');
  const { status, sidecar } = await start(t, TRIED_ALLOWANCE, open);
  t.equal(await status('GET', '/'), 200);
  t.equal(await status('DELETE', '/'), 200);
  t.match(await sidecar.log(2), [
    { decision: 'allow', code: 'allowed' },
    {
      decision: 'audit',
      code: 'authorization_not_allowed',
      reason: /nearest test\/tried-allowance rule 0: methods: DELETE/,
    },
  ]);
  t.match(counted(await sidecar.metrics()), [
    /code="authorization_not_allowed",policy="test\/tried-allowance",rule=""\} 1/,
  ]);
});

t.test('the mesh in mode Audit refuses no request by policy, and counts which policy would', async (t) => {
  const { status, sidecar } = await start(t, READS, NO_ADMIN, AUDIT);
  t.equal(await status('GET', '/admin'), 200);
  t.equal(await status('PUT', '/'), 200);
  t.equal(await status('GET', '/a//b'), 400, 'a path that can be read in two ways has no decision');
  t.match(await sidecar.log(3), [
    { decision: 'audit', code: 'authorization_denied', policy: 'test/no-admin', rule: 0 },
    { decision: 'audit', code: 'authorization_not_allowed', reason: /nearest test\/reads rule 0: methods/ },
    { decision: 'deny', code: 'ambiguous_path' },
  ]);
  const metrics = counted(await sidecar.metrics()).join('\n');
  t.match(metrics, /code="authorization_denied",policy="test\/no-admin",rule="0"\} 1/);
  t.match(metrics, /code="authorization_not_allowed",policy="",rule=""\} 1/);
});

t.test('the mesh in mode Audit refuses no TCP connection by policy, and mutual TLS stays as it is', async (t) => {
  const app = await tcpApp(t, (socket) => socket.pipe(socket));
  const sidecar = await startInbound(t, app.port, 'tcp', [READS, NO_ADMIN, AUDIT].join('---\n'));
  const caller = await sidecar.connectTls('client');
  caller.end('echo');
  t.equal(await readAll(caller), 'echo');
  const plain = await sidecar.connectPlain();
  plain.end('echo');
  t.equal(await readAll(plain), '', 'STRICT: plaintext is refused');
  const lines = await sidecar.log(2);
  t.match(
    lines.find(({ decision }) => decision === 'audit'),
    { code: 'authorization_denied', policy: 'test/no-admin', method: null },
  );
  t.ok(lines.some(({ decision }) => decision === 'deny'));
  t.match(counted(await sidecar.metrics()), [/policy="test\/no-admin",rule="0"\} 1/]);
});
