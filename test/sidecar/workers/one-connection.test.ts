import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { runSidecar } from '#sidecar/run-sidecar.ts';
import { openTraceSink } from '../../../examples/shop/trace-sink.ts';
import { allowPolicy, ControlPlaneFixture, eventually } from '../../control-plane/control-plane-fixture.ts';
import { freePorts } from '../../support/free-ports.ts';
import { ask, startApp } from '../../support/start-app.ts';

/** All of so many connections to one of two workers: once in 2^39 runs. */
const CONNECTIONS = 40;
/** Beside a whole test run. */
const PATIENCE_MS = 20_000;
/** Two sidecars, a server span and a client span in each … */
const SPANS_SERVED = 4;
/** … where the callee's sidecar sends the request on. */
const SPANS_REFUSED = 3;

t.test('two workers have one control-plane connection, one certificate, one exporter', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const sink = await openTraceSink();
  t.teardown(() => sink.close());
  const fixture = new ControlPlaneFixture(join(t.testdir(), 'control-plane'));
  const [inbound = 0, outbound = 0, ...ports] = await freePorts(6);
  const service = `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [server.test]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${inbound}, serviceAccount: orders}]
`;
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'nobody'));
  await fixture.writePolicy('services.yaml', service);
  await fixture.start({ leafLifetimeMs: 8_000 });
  t.teardown(() => fixture.stop());
  const start = async (name: string, traffic: string, admin = 0, metrics = 0) => {
    const directory = join(fixture.directory, name);
    await mkdir(directory);
    await writeFile(join(directory, 'roots.pem'), fixture.running?.trustBundlePem ?? '');
    const token = await fixture.token({ serviceAccount: name });
    const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${name}-1, namespace: shop, serviceAccount: ${name}, labels: {app: ${name}}}
controlPlane: {address: "127.0.0.1:${fixture.port}", trustBundle: roots.pem, tokenFile: ${token}}
${traffic}
concurrency: 2
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {otlp: "http://127.0.0.1:${sink.port}", accessLog: log}
`;
    const { value, problems } = readConfiguration(
      { path: 'a.yaml', text },
      'SidecarConfig',
      sidecarConfigurationSchema,
    );
    if (value === undefined) throw new Error(JSON.stringify(problems));
    const running = await runSidecar(value, directory, () => {});
    t.teardown(() => running.stop());
    return running;
  };
  const [a, b, c, d] = ports;
  const server = await start('orders', `inbound: [{port: ${inbound}, app: "127.0.0.1:${app.port}"}]`, a, b);
  const client = await start('web', `outbound: {port: ${outbound}}`, c, d);
  const show = async (path: string) => JSON.stringify(await (await fixture.status(path)).json());
  const askAll = async () => {
    const answers = await Promise.all(Array.from({ length: CONNECTIONS }, () => ask(outbound)));
    return [...new Set(answers.map(({ status }) => status))];
  };

  t.strictSame(await askAll(), [403]);
  const proxies = async (): Promise<readonly { identity: string; inForceVersion?: string }[]> =>
    JSON.parse(await show('/proxies')).proxies;
  await eventually('each sidecar is connected once', async () => (await proxies()).length === 2);
  const reported = async () => new Set((await show('/decisions')).match(/"decisionId":"[0-9a-f]{16}"/g)).size;
  await eventually('all decisions are reported', async () => (await reported()) === CONNECTIONS, PATIENCE_MS);
  t.match(await show('/decisions'), `"requests":${CONNECTIONS}`, 'counted once');

  const inForce = async () => (await proxies()).find(({ identity }) => identity.endsWith('/sa/orders'))?.inForceVersion;
  const before = await inForce();
  t.type(before, 'string');
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  // a sidecar whose certificate is renewed just now may be away for a moment: that is no acknowledgement
  await eventually('acknowledged', async () => ![before, undefined].includes(await inForce()), PATIENCE_MS);
  t.strictSame(await askAll(), [200], 'once it is acknowledged, it is in force in both');

  const renewals = () => fixture.events.filter(({ event }) => event === 'certificate_signed').length;
  await eventually('both have renewed', () => renewals() >= 4, PATIENCE_MS);
  t.strictSame(await askAll(), [200]);
  await client.stop();
  await server.stop();
  const ids = new Set(sink.spans.map(({ spanId }) => spanId));
  t.equal(ids.size, sink.spans.length, 'no span twice');
  t.equal(sink.spans.length, CONNECTIONS * (SPANS_REFUSED + 2 * SPANS_SERVED));
});
