import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { ALLOW_ANYBODY, readAll, startInbound } from '../../support/inbound-sidecar.ts';

const policy = (name: string, spec: string, annotations = '{}') => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: test, annotations: ${annotations}}
spec: ${spec}
`;
const TRUSTING = `apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {numTrustedProxies: 1}
`;

async function httpApp(t: Test): Promise<number> {
  const server = createServer((_request, response) => response.end('reached'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function start(t: Test, ...policies: readonly string[]) {
  const sidecar = await startInbound(t, await httpApp(t), 'http', policies.join('---\n'));
  const status = async (path: string, headers = '', servername = '') => {
    const caller = await sidecar.connectTls('client', servername === '' ? {} : { servername });
    caller.write(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${headers}\r\n`);
    return Number((await readAll(caller)).split(' ')[1]);
  };
  return { sidecar, status };
}

t.test('remote.ip is the client that the trusted proxy saw, source.ip the peer', async (t) => {
  const clients = '{rules: [{from: [{source: {remoteIpBlocks: [203.0.113.0/24], ipBlocks: [127.0.0.1]}}]}]}';
  const { status } = await start(t, TRUSTING, policy('clients', clients));
  t.equal(await status('/', 'X-Forwarded-For: 192.0.2.1, 203.0.113.5\r\n'), 200);
  t.equal(await status('/', 'X-Forwarded-For: 203.0.113.5, 192.0.2.1\r\n'), 403, 'what the client wrote itself');
  t.equal(await status('/'), 403, 'no header: the peer');
});

t.test('connection.sni is the name that the caller asked for', async (t) => {
  const named = '{rules: [{when: [{key: connection.sni, values: ["*.test.example"]}]}]}';
  const { status } = await start(t, policy('named', named));
  t.equal(await status('/', '', 'server.test.example'), 200);
  t.equal(await status('/', '', 'server.other.example'), 403);
  t.equal(await status('/'), 403, 'no name');
});

t.test('AUDIT policies and those on trial refuse nothing, and the log says what they would', async (t) => {
  const audit = policy('noted', '{action: AUDIT, rules: [{to: [{operation: {paths: [/audited]}}]}]}');
  const denial = '{action: DENY, rules: [{to: [{operation: {paths: [/tried]}}]}]}';
  const trial = policy('tried', denial, '{istio.io/dry-run: "true"}');
  const { status, sidecar } = await start(t, ALLOW_ANYBODY, audit, trial);
  for (const path of ['/', '/audited', '/tried']) t.equal(await status(path), 200, path);
  const lines = await sidecar.log(3);
  const of = (path: string) => lines.find((line) => line.path === path);
  t.match(of('/'), { decision: 'allow', code: 'allowed', audited: undefined });
  t.match(of('/audited'), {
    decision: 'allow',
    code: 'allowed',
    policy: 'test/allow-anybody',
    audited: 'test/noted rule 0',
  });
  t.match(of('/tried'), { decision: 'audit', code: 'authorization_denied', policy: 'test/tried', rule: 0 });
});
