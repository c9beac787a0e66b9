import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { MAX_KEPT_DECISIONS } from '#control-plane/observation/observation-log.ts';
import { MAX_RING_DECISIONS } from '#sidecar/telemetry/decision-ring.ts';
import { MAX_TAP_LINES_A_SECOND } from '#sidecar/telemetry/tap.ts';
import { eventually } from '../../control-plane/control-plane-fixture.ts';
import { runLateral } from '../../support/run-lateral.ts';
import { startFakeApi } from './fake-kubernetes-api.ts';
import { startSmallMesh } from './small-mesh.ts';

const page = await readFile(fileURLToPath(new URL('../../../docs/operating.md', import.meta.url)), 'utf8');
const commands = [...page.matchAll(/^npx lateral (.*)$/gm)].map(([, args = '']) => args);
const SYSTEM = '/api/v1/namespaces/lateral-system';
const LISTS = [
  '/api/v1/namespaces',
  '/api/v1/serviceaccounts',
  '/api/v1/pods',
  '/api/v1/services',
  '/apis/discovery.k8s.io/v1/endpointslices',
];

t.test('the commands of the page run', async (t) => {
  t.ok(commands.length >= 14);
  const mesh = await startSmallMesh(t);
  const { decisionId } = await mesh.call('/private');
  await eventually('it was reported', async () =>
    (await (await mesh.fixture.status('/decisions')).text()).includes(decisionId),
  );
  const api = await startFakeApi(t, {
    objects: { [`${SYSTEM}/services/lateral-control-plane`]: { spec: { selector: { app: 'control-plane' } } } },
    lists: {
      ...Object.fromEntries(LISTS.map((path) => [path, []])),
      [`${SYSTEM}/pods`]: [
        {
          metadata: { namespace: 'lateral-system', name: 'cp-0', labels: { app: 'control-plane' } },
          status: { conditions: [{ type: 'Ready', status: 'True' }] },
        },
      ],
      '/api/v1/namespaces/shop/pods': [
        {
          metadata: { namespace: 'shop', name: 'orders-0', labels: { app: 'orders' } },
          spec: { initContainers: [{ name: 'lateral-sidecar' }] },
          status: { phase: 'Running' },
        },
      ],
    },
    ports: { 'lateral-system/cp-0:15080': mesh.statusPort, 'shop/orders-0:15000': mesh.admin.orders },
  });
  const { directory } = mesh.fixture;
  await writeFile(join(directory, 'kubeconfig'), api.kubeconfig);
  await copyFile(mesh.trustBundle, join(directory, 'root-cert.pem'));
  await writeFile(
    join(directory, 'control-plane.yaml'),
    `apiVersion: lateral.dev/v1alpha1
kind: ControlPlaneConfig
source: {directory: ./policies}
authority: {directory: ./state/ca}
tokens: {directory: ./state/tokens}
`,
  );
  const here: { readonly [word: string]: string } = {
    'control-plane.yaml': join(directory, 'control-plane.yaml'),
    'operator.token': mesh.tokenFile,
    'root-cert.pem': join(directory, 'root-cert.pem'),
    'new-policy.yaml': join(directory, 'policies', 'policies.yaml'),
    '127.0.0.1:15012': mesh.address,
    '15000': String(mesh.admin.orders),
    'DECISION-ID': decisionId,
  };
  for (const command of commands) {
    const words = command
      .replace(/ > \S+$/, '')
      .split(' ')
      .map((word) => here[word] ?? word);
    const { code, stderr } = await runLateral(t, words, { KUBECONFIG: join(directory, 'kubeconfig') });
    t.equal(code, 0, `${command}\n${stderr}`);
  }
});

t.test('the bounds that the page names are those of the code', async (t) => {
  t.match(page, `keeps the last ${MAX_KEPT_DECISIONS.toLocaleString('en')} decisions`);
  t.match(page, new RegExp(`a sidecar keeps its last\\s+${MAX_RING_DECISIONS}\\.`));
  t.match(page, `${MAX_TAP_LINES_A_SECOND.toLocaleString('en')} lines a second`);
});

t.test('the roles of the page are YAML', async (t) => {
  const [, text = ''] = /```yaml\n(.*?)```/s.exec(page) ?? [];
  const kinds = text.split('---\n').map((document) => parse(document).kind);
  t.same(kinds, ['Role', 'Role', 'ClusterRole']);
});
