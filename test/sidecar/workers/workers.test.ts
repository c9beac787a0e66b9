import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { until } from '../../support/inbound-sidecar.ts';
import { ALLOW_ALL } from '../../support/sidecar-pair.ts';
import { startSidecarProcess } from '../../support/sidecar-process.ts';
import { startApp } from '../../support/start-app.ts';

/** All of so many connections to one of two workers: once in 2^39 runs. */
const CONNECTIONS = 40;
const TWO = 'concurrency: 2';
const DENY_ALL = ALLOW_ALL.replace('{rules: [{}]}', '{}');
const CRASHER = fileURLToPath(new URL('./crash-worker.cjs', import.meta.url));

t.test('two workers are one sidecar', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('hello'));
  const sidecar = await startSidecarProcess(t, app.port, ALLOW_ALL, TWO);
  t.match(sidecar.ready, { event: 'ready', concurrency: 2 });
  t.ok(await sidecar.isReady());

  await t.test('they share the connections; what they count and log is one', async (t) => {
    t.strictSame(await sidecar.statuses(CONNECTIONS), [200]);
    t.equal(await sidecar.metric('lateral_requests_total'), CONNECTIONS);
    t.equal(await sidecar.metric('lateral_request_duration_seconds_count{direction="inbound"}'), CONNECTIONS);
    const first = await sidecar.metric('lateral_worker_requests_total{worker="1"}');
    const second = await sidecar.metric('lateral_worker_requests_total{worker="2"}');
    t.ok(first > 0 && second > 0, `both served: ${first} and ${second}`);
    t.equal(first + second, CONNECTIONS);
    t.equal(await sidecar.metric('lateral_workers_serving'), 2);
    t.equal(await sidecar.metric('lateral_requests_in_flight'), 0);
    await until(() => sidecar.lines.length >= CONNECTIONS);
    const ids = sidecar.lines.map((line) => JSON.parse(line).decisionId);
    t.equal(ids.length, CONNECTIONS);
    t.equal(new Set(ids).size, CONNECTIONS, 'each request once');
  });

  await t.test('their lines stay whole in a pipe that is read late', async (t) => {
    sidecar.child.stdout?.pause();
    const path = `/${'p'.repeat(3_000)}`;
    const count = 80; // 240 kB: more than a pipe holds
    t.strictSame(await sidecar.statuses(count, path), [200]);
    sidecar.child.stdout?.resume();
    await until(() => sidecar.lines.length >= CONNECTIONS + count);
    const paths = sidecar.lines.map((line) => JSON.parse(line).path);
    t.equal(paths.filter((logged) => logged === path).length, count);
    t.equal(await sidecar.metric('lateral_access_log_dropped_total'), 0);
  });

  await t.test('a renewed certificate is shown by both', async (t) => {
    const renewed = sidecar.authority.leaf('spiffe://cluster.local/ns/test/sa/server');
    await sidecar.replace('server.key', renewed.key);
    await sidecar.replace('server.pem', renewed.cert);
    const wanted = new X509Certificate(renewed.cert).serialNumber;
    await until(async () => (await sidecar.ask()).serial === wanted);
    const answers = await Promise.all(Array.from({ length: CONNECTIONS }, () => sidecar.ask()));
    t.strictSame([...new Set(answers.map(({ serial }) => serial))], [wanted]);
  });

  await t.test('a policy is in force in both by the time it is said to be', async (t) => {
    const before = await sidecar.policyVersion();
    await sidecar.replace('policies/policies.yaml', DENY_ALL);
    await until(async () => (await sidecar.policyVersion()) !== before);
    t.strictSame(await sidecar.statuses(CONNECTIONS), [403]);
  });

  await t.test('they do not share a port with another sidecar, even one that would', async (t) => {
    const other = startSidecarProcess(t, app.port, ALLOW_ALL, `${TWO}\noutbound: {port: ${sidecar.port}}`);
    await t.rejects(other, { message: new RegExp(`cannot listen on 127.0.0.1:${sidecar.port}: .*EADDRINUSE`) });
  });
});

t.test('a worker that fails is replaced, its counts stay; told to stop, none loses a request', async (t) => {
  const held: http.ServerResponse[] = [];
  const app = await startApp(t, (request, response) => {
    if (request.url === '/hold') held.push(response);
    else response.end();
  });
  const crashFile = join(await mkdtemp(join(tmpdir(), 'lateral-crash-')), 'now');
  t.teardown(() => rm(dirname(crashFile), { recursive: true }));
  const sidecar = await startSidecarProcess(t, app.port, DENY_ALL, TWO, {
    NODE_OPTIONS: `--require=${CRASHER}`,
    CRASH_FILE: crashFile,
  });
  const before = await sidecar.policyVersion();
  await sidecar.replace('policies/policies.yaml', ALLOW_ALL);
  await until(async () => (await sidecar.policyVersion()) !== before);
  t.strictSame(await sidecar.statuses(CONNECTIONS), [200]);
  t.equal(await sidecar.metric('lateral_requests_total'), CONNECTIONS);
  await until(() => sidecar.lines.length >= CONNECTIONS); // the last 50 ms of the log go with a worker

  await writeFile(crashFile, '');
  await until(async () => !(await sidecar.isReady()));
  t.notOk(existsSync(crashFile), 'one of the two has seen it');
  await until(() => sidecar.isReady());
  t.ok(await sidecar.isReady());
  t.match(sidecar.events.join('\n'), /"event":"worker_ended","worker":[12],"reason":"Error: made to crash/);
  t.strictSame(await sidecar.statuses(CONNECTIONS), [200], 'the new one has the law of today');
  t.equal(await sidecar.metric('lateral_requests_total'), 2 * CONNECTIONS, 'what the old one had counted stays');
  t.equal(await sidecar.metric('lateral_worker_restarts_total'), 1);
  t.ok((await sidecar.metric('lateral_worker_requests_total{worker="1"}')) > 0);
  t.ok((await sidecar.metric('lateral_worker_requests_total{worker="2"}')) > 0);

  const answers = Array.from({ length: CONNECTIONS }, () => sidecar.ask('/hold'));
  await until(() => held.length === CONNECTIONS);
  sidecar.child.kill('SIGTERM');
  await until(() => isRefused(sidecar.port));
  t.ok(await isRefused(sidecar.port), 'nobody listens any more');
  t.notOk(await sidecar.isReady());
  for (const response of held) response.end('at last');
  const bodies = (await Promise.all(answers)).map(({ body }) => body);
  t.strictSame([...new Set(bodies)], ['at last']);
  t.equal(await sidecar.exited, 0);
  const answered = () => sidecar.lines.filter((line) => JSON.parse(line).status === 200);
  await until(() => answered().length >= 3 * CONNECTIONS);
  t.equal(answered().length, 3 * CONNECTIONS, 'all is logged');
});

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.resetAndDestroy(); // a half-closed one would be waited for
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}
