import type net from 'node:net';
import t from 'tap';
import { freePorts } from '../../support/free-ports.ts';
import {
  ALLOW_ANYBODY,
  ALLOW_CLIENT,
  PERMISSIVE,
  readAll,
  startInbound,
  until,
} from '../../support/inbound-sidecar.ts';
import { tcpApp } from '../../support/tcp-app.ts';

const echo = (socket: net.Socket) => socket.pipe(socket);

t.test('bytes go both ways over mutual TLS, and the log says whose and how many', async (t) => {
  const app = await tcpApp(t, echo);
  const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_CLIENT);
  const caller = await sidecar.connectTls('client');
  caller.end('hello');
  t.equal(await readAll(caller), 'hello');
  const [line] = await sidecar.log(1);
  t.match(line, {
    direction: 'inbound',
    decision: 'allow',
    code: 'allowed',
    method: null,
    host: null,
    path: null,
    status: 0,
    source: 'spiffe://cluster.local/ns/test/sa/client',
    destination: 'spiffe://cluster.local/ns/test/sa/server',
    port: app.port,
    sourceIp: '127.0.0.1',
    bytesIn: 5,
    bytesOut: 5,
    traceId: null,
    policy: 'test/allow-client',
    rule: 0,
    inputs: { workload: { namespace: 'test', name: 'server-1', labels: { app: 'server' } } },
  });
  t.strictSame(Object.keys(line?.stages ?? {}), ['identify', 'authorize', 'connect', 'join']);
  t.match(line?.durationMs, Number);
  const metrics = await sidecar.metrics();
  t.match(metrics, /^lateral_tcp_connections_total\{direction="inbound",decision="allow"\} 1$/m);
  t.match(metrics, /^lateral_tcp_bytes_total\{direction="inbound",kind="received"\} 5$/m);
});

t.test('a caller that may not connect gets no byte, and the app hears nothing of it', async (t) => {
  const app = await tcpApp(t, (socket) => socket.end('secret'));
  const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_CLIENT);
  const caller = await sidecar.connectTls('stranger');
  t.equal(await readAll(caller), '');
  const [line] = await sidecar.log(1);
  t.match(line, { decision: 'deny', code: 'authorization_not_allowed', policy: 'test/allow-client', bytesOut: 0 });
  t.match(line?.reason, /principals: cluster\.local\/ns\/test\/sa\/stranger is not one of/);
  t.equal(app.connections(), 0);
});

t.test('in audit mode it is let through, and recorded', async (t) => {
  const app = await tcpApp(t, echo);
  const audit = `${ALLOW_CLIENT}---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {mode: Audit}
`;
  const sidecar = await startInbound(t, app.port, 'tcp', audit);
  const caller = await sidecar.connectTls('stranger');
  caller.end('hello');
  t.equal(await readAll(caller), 'hello');
  t.match((await sidecar.log(1))[0], { decision: 'audit', code: 'authorization_not_allowed', bytesIn: 5 });
});

t.test('a rule of HTTP fields allows no TCP connection', async (t) => {
  const app = await tcpApp(t, echo);
  const rule = ALLOW_CLIENT.replace('rules: [{', 'rules: [{to: [{operation: {methods: [GET]}}], ');
  const sidecar = await startInbound(t, app.port, 'tcp', rule);
  t.equal(await readAll(await sidecar.connectTls('client')), '');
  t.match((await sidecar.log(1))[0]?.reason, /methods: the connection is not HTTP/);
  t.equal(app.connections(), 0);
});

t.test('a server may speak first', async (t) => {
  const app = await tcpApp(t, (socket) => {
    socket.write('220 ready\r\n');
    socket.once('data', (bytes) => socket.end(`250 ${bytes}`));
  });
  for (const protocol of ['tcp', 'auto'] as const) {
    await t.test(protocol, async (t) => {
      const sidecar = await startInbound(t, app.port, protocol, ALLOW_CLIENT);
      const caller = await sidecar.connectTls('client');
      const greeting = await new Promise<string>((resolve) => caller.once('data', (bytes) => resolve(String(bytes))));
      t.equal(greeting, '220 ready\r\n');
      caller.end('EHLO a\r\n');
      t.equal(await readAll(caller), '250 EHLO a\r\n');
    });
  }
});

t.test('the end of one side is passed on, and the other goes on', async (t) => {
  await t.test('the caller ends first', async (t) => {
    // as `nc -N` and many RPC clients do: the answer comes when the app has seen the end
    const app = await tcpApp(t, (socket) => {
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes;
      });
      socket.on('end', () => setTimeout(() => socket.end(`got ${text}`), 100));
    });
    const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_CLIENT);
    const caller = await sidecar.connectTls('client');
    caller.end('question');
    t.equal(await readAll(caller), 'got question');
  });
  await t.test('the app ends first', async (t) => {
    let received = '';
    const app = await tcpApp(t, (socket) => {
      socket.end('bye');
      socket.on('data', (bytes) => {
        received += bytes;
      });
    });
    const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_CLIENT);
    const caller = await sidecar.connectTls('client');
    t.equal(await readAll(caller), 'bye');
    caller.write('still ');
    setTimeout(() => caller.end('here'), 100);
    await until(() => received === 'still here');
    t.equal(received, 'still here');
    t.match((await sidecar.log(1))[0], { code: 'allowed', bytesIn: 10, bytesOut: 3 });
  });
});

t.test('what breaks off on one side breaks off on the other: it does not look like an end', async (t) => {
  await t.test('the caller', async (t) => {
    let outcome = '';
    const app = await tcpApp(t, (socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => {
        outcome = error.code ?? '';
      });
      socket.on('end', () => {
        outcome = 'a clean end';
      });
      socket.resume();
    });
    const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_ANYBODY + PERMISSIVE);
    const caller = await sidecar.connectPlain();
    caller.write('half');
    await until(() => app.connections() === 1);
    caller.resetAndDestroy();
    await until(() => outcome !== '');
    t.equal(outcome, 'ECONNRESET');
    t.match((await sidecar.log(1))[0], { code: 'client_gone', decision: 'allow' });
  });
  await t.test('the app', async (t) => {
    const app = await tcpApp(t, (socket) => {
      socket.write('half');
      socket.once('data', () => socket.resetAndDestroy());
    });
    const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_ANYBODY + PERMISSIVE);
    const caller = await sidecar.connectPlain();
    const outcome = new Promise((resolve) => {
      caller.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      caller.on('end', () => resolve('a clean end'));
    });
    caller.resume();
    caller.write('x');
    t.equal(await outcome, 'ECONNRESET');
    t.match((await sidecar.log(1))[0], { code: 'upstream_unavailable', decision: 'allow' });
  });
});

t.test('an app that is away ends the connection, and is no decision', async (t) => {
  const [away = 0] = await freePorts(1);
  const sidecar = await startInbound(t, away, 'tcp', ALLOW_CLIENT);
  t.equal(await readAll(await sidecar.connectTls('client')), '');
  t.match((await sidecar.log(1))[0], { decision: 'allow', code: 'upstream_unavailable', reason: /ECONNREFUSED/ });
});

t.test('a stop waits for connections, and ends them when the drain is over', async (t) => {
  const app = await tcpApp(t, echo);
  const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_CLIENT);
  const caller = await sidecar.connectTls('client');
  const ended = readAll(caller);
  caller.write('hello');
  await until(() => caller.bytesRead > 0 && app.connections() === 1);
  const startedAt = performance.now();
  const stopped = sidecar.running.stop();
  setTimeout(() => caller.write(' again'), 200);
  await stopped;
  t.ok(performance.now() - startedAt > 1_000, 'it was given time');
  t.equal(await ended, 'hello again');
  t.match((await sidecar.log(1))[0], { code: 'draining', decision: 'allow' });
});
