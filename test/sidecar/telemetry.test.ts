import { writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { type RunningSidecar, runSidecar } from '#sidecar/run-sidecar.ts';
import { openTraceSink } from '../../examples/shop/trace-sink.ts';
import { TestAuthority } from '../support/certificates.ts';
import { freePorts, listen, portOf } from '../support/free-ports.ts';
import { startPair } from '../support/sidecar-pair.ts';
import { ask, startApp } from '../support/start-app.ts';

const BY_HEADER = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: by-header, namespace: test}
spec:
  rules:
    - to: [{operation: {paths: ["/open*"]}}]
    - when:
        - {key: "request.headers[x-team]", values: [red]}
        - {key: "request.headers[authorization]", values: ["Bearer *"]}
`;

t.test('the access log has every field of the contract, one JSON object a line', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('hello'));
  const pair = await startPair(t, app.port, BY_HEADER);
  const path = '/open?page=2&token=s3cret&card=4111111111111111&name=a%40b.example';
  await ask(pair.outboundPort, {
    path,
    headers: { 'x-team': 'blue', authorization: 'Bearer topsecret', cookie: 'sid=topsecret' },
  });
  await ask(pair.outboundPort, { path: '/closed', headers: { 'x-team': 'blue' } });
  const [allowed, denied] = await pair.log('server', 2);
  t.match(allowed, {
    time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    direction: 'inbound',
    decision: 'allow',
    decisionId: /^[0-9a-f]{16}$/,
    code: 'allowed',
    method: 'GET',
    host: 'server.test',
    status: 200,
    source: 'spiffe://cluster.local/ns/test/sa/client',
    destination: 'spiffe://cluster.local/ns/test/sa/server',
    port: app.port,
    sourceIp: '127.0.0.1',
    bytesIn: 0,
    bytesOut: 5,
    durationMs: Number,
    traceId: /^[0-9a-f]{32}$/,
    policy: 'test/by-header',
    rule: 0,
  });
  t.equal(allowed?.path, '/open?page=2&token=[redacted]&card=[redacted]&name=[redacted]');
  t.match(allowed?.inputs, { headers: { 'x-team': 'blue', authorization: /^hmac:[0-9a-f]{16}$/ } });
  t.notMatch(JSON.stringify([allowed, denied]), /topsecret|s3cret|4111/);
  t.match(denied, {
    decision: 'deny',
    code: 'authorization_not_allowed',
    status: 403,
    reason: /nearest test\/by-header rule 0: paths: \/closed is not one of/,
  });
  const stages: object = typeof allowed?.stages === 'object' && allowed.stages !== null ? allowed.stages : {};
  t.strictSame(Object.keys(stages), ['accept', 'identify', 'route', 'authorize', 'validate', 'forward', 'respond']);
});

t.test('a refusal tells the caller its code and nothing of the policy', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port, BY_HEADER);
  const answer = await ask(pair.outboundPort, { path: '/closed' });
  t.strictSame(JSON.parse(answer.body), { title: 'Forbidden', status: 403, code: 'authorization_not_allowed' });
  t.notMatch(JSON.stringify(answer.rawHeaders), /by-header|x-team/);
  const [line] = await pair.log('server', 1);
  t.equal(answer.headers['lateral-decision'], line?.decisionId, 'the ID leads to the reason');
});

t.test('in audit mode nothing is refused and everything is recorded', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('through'));
  const audit = `${BY_HEADER}---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {mode: Audit}
`;
  const pair = await startPair(t, app.port, audit);
  t.equal((await ask(pair.outboundPort, { path: '/closed' })).body, 'through');
  const [line] = await pair.log('server', 1);
  t.match(line, { decision: 'audit', code: 'authorization_not_allowed', status: 200, reason: String });
});

t.test('metrics count requests, refusals by code and durations, and tell certificate and policy', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port, BY_HEADER);
  await ask(pair.outboundPort, { path: '/open' });
  await ask(pair.outboundPort, { path: '/closed' });
  await pair.log('server', 2);
  const answer = await fetch(`http://127.0.0.1:${pair.serverMetricsPort}/metrics`);
  t.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  const text = await answer.text();
  t.match(text, 'lateral_requests_total{direction="inbound",decision="allow",status="200"} 1');
  t.match(text, 'lateral_refusals_total{direction="inbound",decision="deny",code="authorization_not_allowed"} 1');
  t.match(text, 'lateral_request_duration_seconds_count{direction="inbound"} 2');
  t.match(text, /lateral_certificate_expiry_timestamp_seconds 1[0-9.]+/);
  t.match(text, /lateral_policy_info\{version="[0-9a-f]{32,}"\} 1/);
  t.match(text, /lateral_policy_age_seconds [0-9.]+/);
  for (const line of text.trimEnd().split('\n'))
    t.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{[^}]*\})? [0-9.eE+-]+|\w+(\{[^}]*\})? NaN)$/, line);
  const expiry = (text: string) => /^lateral_certificate_expiry_timestamp_seconds (\d+)$/m.exec(text)?.[1];
  const again = await (await fetch(`http://127.0.0.1:${pair.serverMetricsPort}/metrics`)).text();
  t.equal(expiry(again), expiry(text), 'who asks changes nothing');
});

/** A standalone sidecar with outbound AllowAny that exports to `otlpPort` what a caller's trace has sampled. */
async function startExporting(t: Test, otlpPort: number): Promise<{ port: number; sidecar: RunningSidecar }> {
  const [port = 0, admin = 0, metrics = 0] = await freePorts(3);
  const directory = t.testdir({ policies: {} });
  const authority = new TestAuthority();
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  await writeFile(join(directory, 'a.pem'), cert);
  await writeFile(join(directory, 'a.key'), key);
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);
  await writeFile(
    join(directory, 'policies', 'mesh.yaml'),
    'apiVersion: lateral.dev/v1alpha1\nkind: MeshDefaults\nmetadata: {name: default, namespace: lateral-system}\nspec: {outbound: AllowAny}\n',
  );
  const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: client-1, namespace: test, serviceAccount: client, labels: {app: client}}
standalone: {policies: policies, certificate: a.pem, privateKey: a.key, trustBundle: ca.pem}
outbound: {port: ${port}}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {otlp: "http://127.0.0.1:${otlpPort}", sampleRatio: 0, accessLog: off}
`;
  const { value } = readConfiguration({ path: 'a.yaml', text }, 'SidecarConfig', sidecarConfigurationSchema);
  if (value === undefined) throw new Error('configuration');
  return { port, sidecar: await runSidecar(value, directory, () => {}) };
}

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const SAMPLED = `00-${TRACE_ID}-b7ad6b7169203331-01`;

t.test('spans: server and client of each hop, identities and decision, sent at the end at the latest', async (t) => {
  const sink = await openTraceSink();
  t.teardown(() => sink.close());
  const app = await startApp(t, (_request, response) => response.end());
  const { port, sidecar } = await startExporting(t, sink.port);
  const host = `127.0.0.1:${app.port}`;
  await ask(port, { path: '/a', headers: { host, traceparent: SAMPLED } });
  await ask(port, { path: '/b', headers: { host } });
  await sidecar.stop();
  const [server, client, ...rest] = [...sink.spans].sort((left) => (left.kind === 'server' ? -1 : 1));
  t.strictSame(rest, [], 'the trace that began here was not sampled (sampleRatio 0)');
  t.match(server, { traceId: TRACE_ID, parentSpanId: 'b7ad6b7169203331', service: 'client', name: 'GET' });
  t.equal(client?.parentSpanId, server?.spanId);
  t.match(server?.attributes, {
    'url.path': '/a',
    'lateral.source': 'spiffe://cluster.local/ns/test/sa/client',
    'lateral.destination': host,
    'lateral.decision': 'allow',
    'lateral.code': 'allowed',
  });
});

t.test('a collector that is away or hangs breaks no request and holds no program back', async (t) => {
  const sockets: Socket[] = [];
  const hanging = await listen(createServer((socket) => sockets.push(socket.resume())));
  t.teardown(() => {
    hanging.close();
    for (const socket of sockets) socket.destroy();
  });
  const [deadPort = 0] = await freePorts(1);
  const app = await startApp(t, (_request, response) => response.end());
  for (const collector of [portOf(hanging), deadPort]) {
    const { port, sidecar } = await startExporting(t, collector);
    const startedAt = performance.now();
    const answers = Array.from({ length: 100 }, () =>
      ask(port, { headers: { host: `127.0.0.1:${app.port}`, traceparent: SAMPLED } }),
    );
    t.ok((await Promise.all(answers)).every(({ status }) => status === 200));
    await sidecar.stop();
    t.ok(performance.now() - startedAt < 8_000);
  }
});

t.test('a collector that comes back gets spans again within the promised 5 s', async (t) => {
  const [collectorPort = 0] = await freePorts(1);
  const app = await startApp(t, (_request, response) => response.end());
  const { port, sidecar } = await startExporting(t, collectorPort);
  const headers = { host: `127.0.0.1:${app.port}`, traceparent: SAMPLED };
  await ask(port, { headers });
  await new Promise((resolve) => setTimeout(resolve, 6_500)); // the first batch is given up
  const sink = await openTraceSink(collectorPort);
  t.teardown(() => sink.close());
  await ask(port, { path: '/back', headers });
  const deadline = Date.now() + 5_000;
  const isThere = () => sink.spans.some(({ attributes }) => attributes['url.path'] === '/back');
  while (!isThere() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok(isThere());
  await sidecar.stop();
});
