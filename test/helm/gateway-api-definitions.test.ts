import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse, parseAllDocuments } from 'yaml';
import { ApiServer, noApiServer } from '../support/api-server.ts';
import { goModuleFolder } from '../support/go-module.ts';
import { HELM, type Manifest, skip as noHelm, TIMEOUT_MS } from './helm-template.ts';

const chart = fileURLToPath(new URL('../../helm/lateral', import.meta.url));
const GROUP = 'gateway.networking.k8s.io';
const SERVED_WITHIN_MS = 30_000;
const VALUES = [
  ...['--set', 'gatewayApi.enabled=true,gatewayApi.gateway.create=true,gatewayApi.gateway.className=edge'],
  ...['--set-json', 'gatewayApi.parentRefs=[{"name":"edge","namespace":"gateways","sectionName":"mesh","port":443}]'],
];

const skip = noHelm || (noApiServer ?? false);

t.test('on an API server with the definitions of the Gateway API', { skip, timeout: 180_000 }, async (t) => {
  const folder = await goModuleFolder('gateway-api', 'sigs.k8s.io/gateway-api');
  if (folder === undefined) return void t.pass('no go on the PATH, which fetches the definitions', { skip: 'no go' });
  const api = new ApiServer(t.testdir());
  t.teardown(() => api.stop());
  await api.start();
  await api.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'lateral-system' } });

  /** What `helm install` would make of the chart, with what this API server serves. */
  const rendered = (...args: string[]) => {
    const options = ['-n', 'lateral-system', '--dry-run=server', '-o', 'json', ...VALUES, ...args];
    const { status, stdout, stderr } = spawnSync(HELM, ['install', 'lateral', chart, ...options], {
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      env: { ...process.env, KUBECONFIG: api.kubeconfig },
    });
    const release: Manifest = status === 0 ? JSON.parse(stdout) : {};
    return { status, stderr, manifest: String(release.manifest) };
  };
  const ofGatewayApi = (text: string): Manifest[] =>
    parseAllDocuments(text)
      .flatMap((document) => document.toJSON() ?? [])
      .filter(({ apiVersion }: Manifest) => apiVersion.startsWith(`${GROUP}/`));

  await t.test('without them the installation stops', async (t) => {
    const { status, stderr } = rendered();
    t.not(status, 0);
    t.match(stderr, /the cluster serves no TLSRoute/);
  });

  for (const kind of ['gateways', 'tlsroutes']) {
    // the experimental channel serves all versions of TLSRoute
    const file = join(folder, 'config/crd/experimental', `${GROUP}_${kind}.yaml`);
    await api.create(parse(await readFile(file, 'utf8')));
  }
  const deadline = Date.now() + SERVED_WITHIN_MS;
  while (rendered().status !== 0 && Date.now() < deadline) await wait(200);

  await t.test('the newest is found, and the API server takes the objects as they are', async (t) => {
    const { manifest, stderr } = rendered();
    const objects = ofGatewayApi(manifest);
    t.strictSame(
      objects.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`).sort(),
      [`${GROUP}/v1 Gateway`, `${GROUP}/v1 TLSRoute`],
      stderr,
    );
    for (const object of objects) t.match(await dryRun(object), { kind: object.kind, spec: object.spec });
  });

  for (const version of ['v1alpha3', 'v1alpha2']) {
    await t.test(`so it does in version ${version}`, async (t) => {
      const objects = ofGatewayApi(rendered('--set', `gatewayApi.version=${version}`).manifest);
      const route = objects.find(({ kind }) => kind === 'TLSRoute');
      t.equal(route.apiVersion, `${GROUP}/${version}`);
      t.match(await dryRun(route), { spec: route.spec });
    });
  }

  async function dryRun(object: Manifest): Promise<unknown> {
    const plural = `${object.kind.toLowerCase()}s`;
    return api.client.request(`/apis/${object.apiVersion}/namespaces/lateral-system/${plural}`, {
      method: 'POST',
      body: object,
      // an unknown field is an error
      query: { dryRun: 'All', fieldValidation: 'Strict' },
    });
  }
});
