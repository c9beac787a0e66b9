import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { resourceDocument, snapshotOf } from '#policy/resource/resource-document.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import type { CredentialSource } from '#sidecar/identity/credentials.ts';
import { generateInWorker } from '#sidecar/policy/generate-in-worker.ts';
import { SnapshotRefused } from '#sidecar/policy/policy-source.ts';
import { PolicyStatus } from '#sidecar/policy/policy-status.ts';
import { TappedLog } from '#sidecar/telemetry/tapped-log.ts';
import { ReceivedCredentials } from '#sidecar/workers/received-credentials.ts';
import { SharedLog } from '#sidecar/workers/shared-log.ts';
import { WorkerLink } from '#sidecar/workers/worker-link.ts';
import { WorkerPool } from '#sidecar/workers/worker-pool.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { freePorts } from '../../support/free-ports.ts';
import { until } from '../../support/inbound-sidecar.ts';
import { ask, startApp } from '../../support/start-app.ts';

const authority = new TestAuthority();
const identity = spiffeId('cluster.local', 'test', 'client');
const leaf = authority.leaf(identity.uri);
const CREDENTIALS: CredentialSource = {
  current: () => ({
    identity,
    certificateChainPem: leaf.cert,
    privateKeyPem: leaf.key,
    trustBundlePem: authority.rootPem,
    expiresAtMs: Date.now() + 3_600_000,
  }),
  onRenewal: () => () => {},
  close: () => {},
};

async function settings(concurrency = 2) {
  const [port = 0, admin = 0, metrics = 0] = await freePorts(3);
  const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: client-1, namespace: test, serviceAccount: client}
standalone: {policies: a, certificate: a, privateKey: a, trustBundle: a}
outbound: {port: ${port}}
concurrency: ${concurrency}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {accessLog: "off"}
`;
  const { value, problems } = readConfiguration({ path: 'a.yaml', text }, 'SidecarConfig', sidecarConfigurationSchema);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return { port, configuration: value };
}

async function poolOf(t: Test, program?: string, credentials: CredentialSource = CREDENTIALS) {
  const { port, configuration } = await settings();
  const pool = new WorkerPool({
    configuration,
    credentials,
    generate: generateInWorker,
    log: new SharedLog(new TappedLog(undefined)),
    onLogWanted: (listener) => listener(false),
    spans: undefined,
    decisions: [],
    ...(program === undefined ? {} : { program: new URL(program, import.meta.url) }),
  });
  t.teardown(() => pool.drain());
  return { pool, port };
}

/** Makes a mesh that sends what it does not know where it is told to go, or refuses it. */
function meshOf(outbound: string) {
  const header = { apiVersion: 'lateral.dev/v1alpha1', kind: 'MeshDefaults', namespace: 'lateral-system' };
  return snapshotOf([resourceDocument({ ...header, name: 'default', spec: { outbound } })]);
}

t.test('a version is in force in all workers, or refused with its reasons and in none', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const { pool, port } = await poolOf(t);
  const status = new PolicyStatus();
  await status.apply(meshOf('AllowAny'), pool);
  await pool.open();
  t.ok(pool.isServing);
  const statuses = async () => {
    const asking = Array.from({ length: 30 }, () => ask(port, { headers: { host: `127.0.0.1:${app.port}` } }));
    return [...new Set((await Promise.all(asking)).map((answer) => answer.status))];
  };
  t.strictSame(await statuses(), [200]);
  await t.rejects(status.apply(meshOf('Whatever'), pool), SnapshotRefused);
  t.match(status.lastReasons.join(), /Whatever/);
  t.equal(status.lastReasons.length, 1, 'both say the same: it is said once');
  t.equal(status.snapshot?.version, meshOf('AllowAny').version);
  t.equal(status.refused, 1);
  t.strictSame(await statuses(), [200]);
  await status.apply(meshOf('RegistryOnly'), pool);
  t.match(status.defaults, { outbound: 'RegistryOnly' });
  t.strictSame(await statuses(), [502]);
});

t.test('what one worker refuses, none puts in force', async (t) => {
  const { pool } = await poolOf(t, './stubborn-worker.ts');
  const status = new PolicyStatus();
  await status.apply({ version: 'good', resources: [] }, pool);
  await t.rejects(status.apply({ version: 'bad', resources: [] }, pool), { message: 'bad is not for me' });
  const text = (await pool.metrics()).print();
  for (const thread of ['traffic-1', 'traffic-2']) {
    t.match(text, `commits{thread="${thread}"} 1\n`);
    t.match(text, `discards{thread="${thread}"} 1\n`);
  }
});

t.test('workers are told of no credentials that they could not start with', async (t) => {
  const source = new ReceivedCredentials(CREDENTIALS.current());
  const { pool } = await poolOf(t, './stubborn-worker.ts', source);
  await new PolicyStatus().apply({ version: 'good', resources: [] }, pool);
  source.receive({ ...CREDENTIALS.current(), trustBundlePem: `${authority.rootPem}${leaf.cert}` });
  t.match((await pool.metrics()).print(), 'renewals{thread="traffic-1"} 0\n');
  source.receive(CREDENTIALS.current());
  t.match((await pool.metrics()).print(), 'renewals{thread="traffic-1"} 1\n');
});

t.test('workers that cannot start are tried again, less and less often, and nothing comes in force', async (t) => {
  const { pool } = await poolOf(t, './failing-worker.ts');
  const status = new PolicyStatus();
  await t.rejects(status.apply({ version: 'good', resources: [] }, pool), /made to fail|no worker is running/);
  t.notOk(pool.isServing);
  const restarts = async () =>
    Number(/^lateral_worker_restarts_total (\d+)$/m.exec((await pool.metrics()).print())?.[1]);
  await until(async () => (await restarts()) >= 4);
  const before = await restarts();
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.ok((await restarts()) - before < 2 * 4, 'two workers, waits of 200 ms and more by now');
});

/** `onEnd` takes the reason for which it ended. */
async function linkTo(program: string, onEnd: (reason: string) => void): Promise<WorkerLink> {
  const { configuration } = await settings();
  return new WorkerLink(
    new URL(program, import.meta.url),
    'linked',
    {
      kind: 'traffic-worker',
      configuration,
      credentials: CREDENTIALS.current(),
      logKey: new Uint8Array(32),
      maxPendingLogBytes: 1,
      wantsLog: false,
      wantsSpans: false,
    },
    { onMessage: () => {}, onEnd: (_link, reason) => onEnd(reason) },
  );
}

t.test('a worker whose event loop hangs is ended, one that answers is not', async (t) => {
  const hanging = Promise.withResolvers<string>();
  const hung = await linkTo('./hanging-worker.ts', hanging.resolve);
  for (let asked = 0; asked < 10; asked++) hung.ping();
  t.match(await hanging.promise, /no sign of life/);

  let reason: string | undefined;
  const sound = await linkTo('./stubborn-worker.ts', (why) => {
    reason = why;
  });
  for (let asked = 0; asked < 10; asked++) {
    sound.ping();
    await sound.open(); // answered behind the ping
  }
  t.equal(reason, undefined);
  await sound.end('the test is over');
  t.equal(reason, 'the test is over');
});

t.test('the young generation of a worker is as large as the flags of the process say', async (t) => {
  const measure = `
    const { parentPort } = require('node:worker_threads');
    const { getHeapSpaceStatistics } = require('node:v8');
    const kept = [];
    for (let index = 0; index < 200_000; index++) kept[index % 10_000] = { index, text: String(index) };
    parentPort.postMessage(getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space').space_size);
  `;
  const script = `new (require('node:worker_threads').Worker)(${JSON.stringify(measure)}, { eval: true }).on('message', console.log)`;
  const sizeWith = (flags: string[]) =>
    Number(spawnSync(process.execPath, [...flags, '-e', script], { env: {} }).stdout.toString()) / 1_048_576;
  t.equal(sizeWith(['--max-semi-space-size=1']), 2, 'two semi-spaces of 1 MB');
  t.ok(sizeWith([]) > 2, 'what V8 does by itself is another thing');
});
