import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { injectPod } from '#control-plane/injection/inject-pod.ts';
import { type JsonObject, objectAt, objectsAt } from '#control-plane/injection/json-object.ts';
import { injectionSettings } from '../../control-plane/injection/settings.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { freePorts } from '../../support/free-ports.ts';
import { until } from '../../support/inbound-sidecar.ts';
import { startSidecarProcess } from '../../support/sidecar-process.ts';
import { startApp } from '../../support/start-app.ts';

const lateral = fileURLToPath(new URL('../../../bin/lateral.mjs', import.meta.url));

interface InjectedContainer {
  readonly args: readonly string[];
  /** As Kubernetes expands it in a pod at 127.0.0.1, with the ports put in the place of the pod's. */
  readonly environment: { readonly [name: string]: string };
}

function containerOf(pod: JsonObject, ports: { readonly [port: string]: number }): InjectedContainer {
  const outcome = injectPod(pod, 'shop', {
    ...injectionSettings({ controlPlaneAddress: '127.0.0.1:1' }),
    rootCertificatesPem: new TestAuthority().rootPem,
  });
  if (outcome.kind !== 'injected') throw new Error(outcome.kind);
  const containers = objectsAt(objectAt(outcome.pod, 'spec'), 'initContainers');
  const sidecar = containers.find(({ name }) => name === 'lateral-sidecar') ?? {};
  const values: { [name: string]: string } = {
    POD_NAME: 'web-1',
    POD_NAMESPACE: 'shop',
    SERVICE_ACCOUNT: 'web',
    POD_IP: '127.0.0.1',
  };
  const text = String(objectsAt(sidecar, 'env').at(-1)?.['value']);
  const expanded = text
    .replace(/\$(\$|\(([^)]*)\))/g, (all, what: string, name: string) => (what === '$' ? '$' : (values[name] ?? all)))
    .replace(/"port":(150\d\d|151\d\d)/g, (_all, port: string) => `"port":${ports[port] ?? port}`);
  return { args: [...(sidecar['args'] as string[])], environment: { ...values, LATERAL_CONFIG: expanded } };
}

/** Starts the container's program as the kubelet does. */
function start(t: Test, { args, environment }: InjectedContainer) {
  const child = spawn(process.execPath, [lateral, ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  t.teardown(() => child.kill('SIGKILL'));
  return { child, errors: () => errors };
}

t.test(
  'an injected sidecar starts from its environment, answers probes of the app before it is ready, and waits',
  async (t) => {
    const [admin = 0, metrics = 0, inbound = 0, outbound = 0] = await freePorts(4);
    const app = await startApp(t, (request, response) =>
      response.writeHead(request.url === '/up?x=$(Y)' ? 200 : 500).end(),
    );
    const pod = {
      metadata: { labels: { app: 'web' } },
      spec: {
        containers: [
          {
            name: 'web',
            readinessProbe: { httpGet: { path: '/up?x=$(Y)', port: app.port } },
            livenessProbe: { httpGet: { path: '/down', port: app.port } },
          },
        ],
      },
    };
    const container = containerOf(pod, { 15000: admin, 15020: metrics, 15006: inbound, 15001: outbound });
    const stateless =
      container.environment['LATERAL_CONFIG']?.replace('/var/lib/lateral', join(t.testdir(), 'state')) ?? '';
    const running = start(t, { ...container, environment: { ...container.environment, LATERAL_CONFIG: stateless } });
    const status = async (path: string, host = '127.0.0.1') =>
      fetch(`http://${host}:${metrics}${path}`).then(
        (answer) => answer.status,
        () => 0,
      );
    await until(async () => (await status('/livez')) === 200 || running.child.exitCode !== null);
    t.equal(await status('/livez'), 200, running.errors());
    t.equal(await status('/app-health/web/readiness'), 200);
    t.equal(await status('/app-health/web/liveness'), 500);
    t.equal(await status('/app-health/web/startup'), 404);
    t.equal(await status('/readyz'), 503);
    const before = performance.now();
    t.equal(await status('/readyz?waitMs=300'), 503, 'held back');
    t.ok(performance.now() - before >= 290);
    running.child.kill('SIGTERM');
    t.equal(await new Promise((resolve) => running.child.once('exit', resolve)), 0);
  },
);

t.test('/readyz with waitMs answers as soon as the sidecar serves', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const sidecar = await startSidecarProcess(t, app.port, '', '');
  const before = performance.now();
  const { ready } = sidecar;
  t.equal((await fetch(`http://127.0.0.1:${String(ready['metrics'])}/readyz?waitMs=5000`)).status, 200);
  t.ok(performance.now() - before < 2_000);
});

t.test('the hooks of the classic form', async (t) => {
  const run = (...args: string[]) => spawnSync(process.execPath, [lateral, 'sidecar', ...args], { encoding: 'utf8' });
  const before = performance.now();
  t.equal(run('--linger', '1').status, 0);
  t.ok(performance.now() - before >= 1_000);
  const wrong = run('--linger', 'soon');
  t.equal(wrong.status, 2);
  t.match(wrong.stderr, /--linger soon is not a number of seconds from 0 to 300/);
});
