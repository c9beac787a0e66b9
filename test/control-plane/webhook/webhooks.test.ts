import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import t from 'tap';
import { injectPod } from '#control-plane/injection/inject-pod.ts';
import { jsonPatch } from '#control-plane/injection/json-patch.ts';
import { TooManyReviews, VALIDATION_BUDGET } from '#control-plane/webhook/review-queue.ts';
import { CERTIFICATE_LIFETIME_MS } from '#control-plane/webhook/webhook-certificate.ts';
import { webhookMetricLines } from '#control-plane/webhook/webhook-metrics.ts';
import { MAX_REVIEW_BYTES, WEBHOOK_GATE } from '#control-plane/webhook/webhook-server.ts';
import { until } from '../../support/inbound-sidecar.ts';
import { injectionSettings } from '../injection/settings.ts';
import {
  caBundle,
  HOST,
  INJECTOR,
  installed,
  post,
  review,
  SECRET,
  startedReplica,
  startReplica,
  VALIDATOR,
} from './webhook-fixture.ts';

const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { generateName: 'web-', labels: { app: 'web' } },
  spec: { containers: [{ name: 'web', image: 'web:1', readinessProbe: { httpGet: { port: 8080 } } }] },
};

t.test(
  'the first leader makes the certificate, keeps what else the Secret says, and tells the API server',
  async (t) => {
    const api = await installed(t);
    const { events, running } = await startedReplica(t, api);
    await until(() => events.length === 4);
    t.same(api.writes, [SECRET, INJECTOR, VALIDATOR]);
    t.match(api.get(SECRET), { type: 'Opaque', metadata: { labels: { chart: 'lateral' } } });
    t.equal(caBundle(api, INJECTOR), caBundle(api, VALIDATOR));
    t.match(api.get(VALIDATOR), {
      webhooks: [{ name: 'a', clientConfig: { service: { path: '/validate' } } }, { name: 'b' }],
    });
    t.same(
      events.map(({ event }) => event),
      ['webhook_certificate_made', 'webhooks_ready', 'webhook_registration_updated', 'webhook_registration_updated'],
    );
    t.notMatch(JSON.stringify(events), /PRIVATE KEY/);
    await running.reconcile();
    t.equal(api.writes.length, 3, 'and nothing more is to be done');
  },
);

t.test('a replica that does not lead serves what the leader made, and writes nothing', async (t) => {
  const api = await installed(t);
  const follower = startReplica(t, api, { isLeader: () => false });
  await follower.running.reconcile();
  t.equal(follower.running.port(), undefined, 'nothing is served before');
  t.same(api.writes, []);
  const leader = await startedReplica(t, api);
  await leader.running.reconcile();
  await follower.running.reconcile();
  const [theirs, ours] = await Promise.all(
    [leader.port, follower.running.port() ?? 0].map((port) => post(api, port, '/inject', review(POD))),
  );
  t.equal(ours?.certificate?.fingerprint256, theirs?.certificate?.fingerprint256);
  t.equal(api.writes.length, 3);
});

t.test('what somebody changes in the registrations or the Secret is right again', async (t) => {
  const api = await installed(t);
  const { running, port } = await startedReplica(t, api);
  await running.reconcile();
  const wanted = caBundle(api, INJECTOR);
  api.set(INJECTOR, { webhooks: [{ name: 'inject.lateral.dev', clientConfig: { caBundle: 'Zm9v' } }] });
  api.remove(VALIDATOR);
  await running.reconcile();
  t.equal(caBundle(api, INJECTOR), wanted);
  api.set(SECRET, { metadata: {}, data: {} });
  await running.reconcile();
  t.not(caBundle(api, INJECTOR), wanted, 'an emptied Secret means a new authority');
  t.equal((await post(api, port, '/inject', review(POD))).status, 200);
});

t.test('of two that write at once one wins, and the other follows', async (t) => {
  const api = await installed(t);
  const replicas = await Promise.all([startedReplica(t, api), startedReplica(t, api)]);
  await Promise.all(replicas.map(({ running }) => running.reconcile()));
  const seen = await Promise.all(replicas.map(({ port }) => post(api, port, '/inject', review(POD))));
  t.equal(new Set(seen.map(({ certificate }) => certificate?.fingerprint256)).size, 1);
});

t.test('a certificate is replaced while the server runs, and connections go on', async (t) => {
  const api = await installed(t);
  let now = Date.now() - CERTIFICATE_LIFETIME_MS / 2 - 1_000;
  const { running, port } = await startedReplica(t, api, { now: () => now });
  await running.reconcile();
  const before = await post(api, port, '/inject', review(POD));
  const open = tls.connect({ host: '127.0.0.1', port, servername: HOST, ca: caBundle(api, INJECTOR) });
  t.teardown(() => open.destroy());
  await new Promise((resolve) => open.once('secureConnect', resolve));
  now = Date.now();
  await running.reconcile();
  const after = await post(api, port, '/inject', review(POD));
  t.not(after.certificate?.fingerprint256, before.certificate?.fingerprint256);
  t.match(
    webhookMetricLines(running.metrics).join('\n'),
    `certificate_expiry_timestamp_seconds ${Math.floor((now + CERTIFICATE_LIFETIME_MS) / 1000)}`,
  );
  open.write(`POST /none HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 0\r\n\r\n`);
  const answer = await new Promise((resolve) => open.once('data', resolve));
  t.match(String(answer), /^HTTP\/1\.1 404/);
});

t.test('an API server that is away is asked again, and the missing Secret is named', async (t) => {
  const api = await installed(t);
  const secret = api.get(SECRET);
  api.remove(SECRET);
  const { running, events } = startReplica(t, api);
  await running.reconcile();
  t.match(events[0], {
    event: 'webhook_certificate_failed',
    fields: { error: /Secret of the webhook certificate is missing/ },
  });
  api.set(SECRET, secret);
  await until(() => running.port() !== undefined);
  t.ok(running.port());
});

t.test('POST /inject answers with the patch that makes the injected pod', async (t) => {
  const api = await installed(t);
  const { port, running } = await startedReplica(t, api);
  await running.reconcile();
  const { status, body } = await post(api, port, '/inject', review(POD));
  t.equal(status, 200);
  const answer = JSON.parse(body);
  t.match(answer, {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid: 'u-1', allowed: true, patchType: 'JSONPatch' },
  });
  const wanted = injectPod(POD, 'shop', injectionSettings());
  if (wanted.kind !== 'injected') throw new Error(wanted.kind);
  t.same(JSON.parse(Buffer.from(answer.response.patch, 'base64').toString()), jsonPatch(POD, wanted.pod));

  const response = async (pod: object, more: object = {}) =>
    JSON.parse((await post(api, port, '/inject', review(pod, more))).body).response;
  t.same(await response(wanted.pod), { uid: 'u-1', allowed: true }, 'a second time there is nothing to patch');
  t.match(await response({ ...POD, spec: { ...POD.spec, hostNetwork: true } }), {
    allowed: true,
    warnings: [/hostNetwork/],
    patch: undefined,
  });
  t.same(await response(POD, { namespace: 'kube-system' }), { uid: 'u-1', allowed: true });
  t.same(await response(POD, { operation: 'UPDATE' }), { uid: 'u-1', allowed: true });
  const bad = {
    ...POD,
    metadata: { annotations: { 'lateral.dev/interception': 'off', 'lateral.dev/sidecar-cpu': 'x' } },
  };
  t.match(await response(bad), {
    allowed: false,
    status: {
      code: 422,
      message: /^lateral: annotation lateral\.dev\/interception: expected redirect or none, got "off"; annotation/,
    },
  });
  t.same(running.metrics.injections, { injected: 1, skipped: 4, refused: 1, failed: 0 });
});

t.test('POST /validate refuses in the lines of lateral check, and lets go what is being deleted', async (t) => {
  const api = await installed(t);
  const problem = { file: 'AuthorizationPolicy/shop/p', line: 1, column: 1, code: 'unknown_field' } as const;
  const seen: unknown[] = [];
  const { port, running } = await startedReplica(t, api, {
    judge: async (object) => {
      seen.push(object['kind']);
      const warnings = [{ ...problem, severity: 'warning' as const, message: 'doubtful\nin two lines' }];
      const errors = [
        { ...problem, severity: 'error' as const, message: 'wrong' },
        { ...problem, severity: 'error' as const, message: 'also' },
      ];
      if (object['kind'] === 'Broken') throw new Error('our own fault');
      return object['kind'] === 'Good' ? { errors: [], warnings } : { errors, warnings: [] };
    },
  });
  await running.reconcile();
  const ask = async (kind: string, more: object = {}, metadata: object = {}) =>
    JSON.parse((await post(api, port, '/validate', review({ kind, metadata }, more))).body).response;
  t.same(await ask('Good'), {
    uid: 'u-1',
    allowed: true,
    warnings: ['AuthorizationPolicy/shop/p:1:1: warning unknown_field doubtful in two lines'],
  });
  t.same(await ask('Bad', { operation: 'UPDATE' }), {
    uid: 'u-1',
    allowed: false,
    status: {
      code: 422,
      message:
        'AuthorizationPolicy/shop/p:1:1: error unknown_field wrong\nAuthorizationPolicy/shop/p:1:1: error unknown_field also',
    },
  });
  t.equal((await ask('Bad', { operation: 'DELETE', object: null })).allowed, true);
  t.equal((await ask('Bad', { operation: 'UPDATE' }, { deletionTimestamp: '2026-01-01T00:00:00Z' })).allowed, true);
  t.equal((await ask('Bad', { operation: 'UPDATE', subResource: 'status' })).allowed, true);
  t.same(seen, ['Good', 'Bad']);
  t.match(await ask('Broken'), { allowed: false, status: { code: 500, message: /see the log of the control plane/ } });
  t.same(running.metrics.validations, { allowed: 4, refused: 1, failed: 1 });
  t.match(
    webhookMetricLines(running.metrics).join('\n'),
    'lateral_control_plane_webhook_validations_total{outcome="refused"} 1',
  );
});

t.test('warnings stay within what the API server takes', async (t) => {
  const api = await installed(t);
  const problem = { file: 'f', line: 1, column: 1, severity: 'warning', code: 'c', message: 'x'.repeat(400) } as const;
  const judge = () => ({ errors: [], warnings: Array.from({ length: 100 }, () => problem) });
  const { port, running } = await startedReplica(t, api, { judge });
  await running.reconcile();
  const { body } = await post(api, port, '/validate', review({ kind: 'K' }));
  const { warnings }: { warnings: string[] } = JSON.parse(body).response;
  t.equal(warnings.length, 16);
  t.ok(warnings.every((warning) => warning.length <= 256));
});

t.test('what is no AdmissionReview is refused, and the server goes on', async (t) => {
  const api = await installed(t);
  const { port, running } = await startedReplica(t, api);
  await running.reconcile();
  const json = { 'content-type': 'application/json; charset=utf-8' };
  const status = async (path: string, body: string, headers: { [name: string]: string } = json, method?: string) =>
    (await post(api, port, path, body, headers, method)).status;
  t.equal(await status('/other', review(POD)), 404);
  t.equal(await status('/inject', '', json, 'GET'), 405);
  t.equal(await status('/inject', review(POD), { 'content-type': 'text/plain' }), 415);
  for (const body of [
    '',
    'null',
    '{',
    '[]',
    '{"kind":"AdmissionReview"}',
    review(POD).replace('/v1', '/v1beta1'),
    review(POD, { uid: 7 }),
  ]) {
    t.equal(await status('/inject', body), 400, body.slice(0, 30));
  }
  const large = review({ kind: 'Pod', metadata: { annotations: { big: 'x'.repeat(MAX_REVIEW_BYTES['/inject']) } } });
  t.equal(await status('/inject', large).catch(() => 413), 413);
  const most = review({ ...POD, metadata: { annotations: { big: 'x'.repeat(MAX_REVIEW_BYTES['/inject'] - 10_000) } } });
  t.equal(await status('/inject', most), 200);
  t.equal(running.metrics.malformed, 11);
  for (const object of [
    { kind: 'Pod' },
    { kind: 'Pod', metadata: null, spec: [] },
    { kind: 'Pod', spec: { containers: 'x', volumes: [1] } },
  ]) {
    t.equal(await status('/inject', review(object)), 200, JSON.stringify(object));
  }
});

t.test('what is no TLS, or no HTTP, does not disturb', async (t) => {
  const api = await installed(t);
  const { port, running } = await startedReplica(t, api);
  await running.reconcile();
  const noise = Array.from({ length: 20 }, () => tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false }));
  for (const socket of noise) {
    socket.on('error', () => {});
    socket.once('secureConnect', () => socket.write(randomBytes(200)));
  }
  const old = tls.connect({ host: '127.0.0.1', port, maxVersion: 'TLSv1.2', rejectUnauthorized: false });
  const refused = await new Promise<string>((resolve) => {
    old.once('error', (error) => resolve(error.message));
    old.once('secureConnect', () => resolve('connected'));
  });
  t.match(refused, /alert|version/i);
  t.equal((await post(api, port, '/inject', review(POD))).status, 200);
  for (const socket of noise) socket.destroy();
});

t.test('curl, by the name of the Service and the caBundle', async (t) => {
  const api = await installed(t);
  const { port, running } = await startedReplica(t, api);
  await running.reconcile();
  const folder = t.testdir({ 'review.json': review(POD) });
  writeFileSync(join(folder, 'ca.pem'), caBundle(api, INJECTOR));
  const curl = (...more: string[]) =>
    new Promise<{ code: number | null; out: string }>((resolve) => {
      const url = `https://${HOST}:${port}/inject`;
      const child = spawn('curl', [
        '-s',
        '--noproxy',
        '*',
        '--max-time',
        '10',
        '--connect-to',
        `${HOST}:${port}:127.0.0.1:${port}`,
        ...more,
        url,
      ]);
      let out = '';
      child.stdout.on('data', (chunk) => {
        out += chunk;
      });
      child.on('close', (code) => resolve({ code, out }));
    });
  const body = ['-H', 'content-type: application/json', '--data-binary', `@${join(folder, 'review.json')}`];
  const good = await curl('--cacert', join(folder, 'ca.pem'), ...body);
  t.equal(good.code, 0);
  t.equal(JSON.parse(good.out).response.allowed, true);
  t.equal((await curl(...body)).code, 60, 'without the caBundle it is not trusted');
});

t.test('an address that asks for too much hears 429, and pods do not wait for it', async (t) => {
  const api = await installed(t);
  const hold = Promise.withResolvers<void>();
  const { port, running } = await startedReplica(t, api, {
    judge: (object) => {
      if (object['kind'] === 'Greedy') throw new TooManyReviews('later');
      const startMs = performance.now();
      while (performance.now() - startMs < VALIDATION_BUDGET.burstMs + 300);
      hold.resolve();
      return { errors: [], warnings: [] };
    },
  });
  await running.reconcile();
  t.match(await post(api, port, '/validate', review({ kind: 'Greedy' })), { status: 429, body: 'later\n' });
  const slow = post(api, port, '/validate', review({ kind: 'Slow' }));
  await hold.promise;
  const startMs = performance.now();
  const late = post(api, port, '/validate', review({ kind: 'Greedy' }));
  t.equal((await post(api, port, '/inject', review(POD))).status, 200);
  const injectedMs = performance.now() - startMs;
  t.equal((await slow).status, 200);
  t.equal((await late).status, 429);
  // 300 ms too many come back at a fifth of the time
  t.ok(performance.now() - startMs >= 1_000, 'it waited until it had time again');
  t.ok(injectedMs < 1_000, `injected after ${injectedMs} ms`);
  t.match(running.metrics, { malformed: 0, overloaded: 2 });
});

t.test('addresses that take every place on the port keep the API server out for no moment', async (t) => {
  const api = await installed(t);
  const { port, running } = await startedReplica(t, api);
  await running.reconcile();
  const { connections, unproven } = WEBHOOK_GATE;
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  const from = (address: number) => ({ port, host: '127.0.0.1', localAddress: `127.0.1.${address}` });
  // handshakes that do not go on, then connections that ask for nothing
  let open = 0;
  for (let one = 0; one < unproven.total; one += 1) {
    const silent = connect(from(1 + Math.floor(one / unproven.ofAddress)), () => (open += 1));
    sockets.push(silent.on('error', () => {}));
  }
  await until(() => open === unproven.total);
  t.equal((await post(api, port, '/inject', review(POD))).status, 200);
  for (const socket of sockets.splice(0)) socket.destroy();
  let secured = 0;
  for (let one = 0; one < connections.total; one += 1) {
    const options = { ...from(1 + Math.floor(one / connections.ofAddress)), rejectUnauthorized: false };
    const idle = tls.connect(options).on('error', () => {});
    sockets.push(idle);
    await new Promise((resolve) => idle.once('secureConnect', resolve).once('close', resolve));
    if (!idle.destroyed) secured += 1;
  }
  t.ok(secured > connections.ofAddress, `${secured} connections are open`);
  t.equal((await post(api, port, '/inject', review(POD))).status, 200);
  t.match(
    webhookMetricLines(running.metrics).join('\n'),
    /webhook_connections_refused_total\{bound="connections"\} \d/,
  );
});
