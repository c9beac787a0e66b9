import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readControlPlaneConfiguration } from '#control-plane/configuration.ts';
import { formatProblem } from '#policy/problem.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import { readDocuments } from '#policy/snapshot/read-documents.ts';

const HEAD = 'apiVersion: lateral.dev/v1alpha1\nkind: ControlPlaneConfig\n';

async function read(t: Test, text: string) {
  const directory = t.testdir();
  const file = join(directory, 'control-plane.yaml');
  await writeFile(file, HEAD + text);
  const { configuration, problems } = await readControlPlaneConfiguration(file);
  return { directory, configuration, problems: problems.map(formatProblem) };
}

t.test('takes the example of the contract, paths relative to the file', async (t) => {
  const { directory, configuration, problems } = await read(
    t,
    `trustDomain: cluster.local
rootNamespace: lateral-system
listen: {port: 15012}
source: {directory: ./policies}
authority: {directory: ./state/ca}
tokens: {directory: ./state/tokens}
inventory: {sqlite: ./state/inventory.db}
console: {port: 15080}
`,
  );
  t.strictSame(problems, []);
  t.strictSame(configuration, {
    mesh: { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' },
    listen: { address: '127.0.0.1', port: 15012 },
    source: {
      kind: 'directory',
      directory: join(directory, 'policies'),
      lastGoodFile: join(directory, 'state/last-good.json'),
    },
    authority: { kind: 'directory', directory: join(directory, 'state/ca') },
    meshDefaults: undefined,
    tokenDirectory: join(directory, 'state/tokens'),
    statusPort: 15080,
    metrics: undefined,
    webhook: undefined,
    injection: undefined,
    hasUnusedInventory: true,
  });
});

t.test('connections of an address may be more, within those of all', async (t) => {
  const rest = 'source: {directory: p}\nauthority: {directory: ca}\n';
  const { configuration } = await read(t, `listen: {connectionsOfAddress: 4000}\n${rest}`);
  t.strictSame(configuration?.listen, { address: '127.0.0.1', port: 15012, connectionsOfAddress: 4000 });
  for (const wrong of [0, 12_001]) {
    const { problems } = await read(t, `listen: {connectionsOfAddress: ${wrong}}\n${rest}`);
    t.equal(problems.length, 1);
  }
});

t.test('the life of certificates and how far back they are dated are durations within bounds', async (t) => {
  const of = (authority: string) => `source: {directory: p}\nauthority: {directory: ca, ${authority}}\n`;
  const { configuration } = await read(t, of('leafLifetime: 30d, clockSkew: 90s'));
  t.match(configuration?.authority, { kind: 'directory', leafLifetimeMs: 30 * 86_400_000, clockSkewMs: 90_000 });
  for (const [wrong, message] of [
    ['leafLifetime: 4m', /4m is outside of 5m to 90d/],
    ['leafLifetime: 91d', /91d is outside of 5m to 90d/],
    ['leafLifetime: 24', /expected a duration, a number and s, m, h or d such as 24h, got 24/],
    ['leafLifetime: 1w', /expected a duration/],
    ['clockSkew: 61m', /61m is outside of 0s to 1h/],
  ] as const) {
    const { configuration: none, problems } = await read(t, of(wrong));
    t.equal(none, undefined);
    t.match(problems, [message]);
  }
});

t.test('the trust domain may have other names', async (t) => {
  const rest = 'source: {directory: p}\nauthority: {directory: ca}\n';
  const { configuration } = await read(t, `trustDomainAliases: [old.example, older.example]\n${rest}`);
  t.strictSame(configuration?.trustDomainAliases, ['old.example', 'older.example']);
  const { problems } = await read(t, `trustDomainAliases: [Old.example]\n${rest}`);
  t.match(problems, [/Old.example/]);
});

t.test('defaults', async (t) => {
  const { configuration } = await read(t, 'source: {directory: p}\nauthority: {directory: ca}\n');
  t.match(configuration, {
    mesh: { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' },
    listen: { address: '127.0.0.1', port: 15012 },
    tokenDirectory: undefined,
    statusPort: undefined,
    hasUnusedInventory: false,
  });
});

t.test('takes the cluster as source and a Secret as authority, with the defaults of the chart', async (t) => {
  const { configuration, problems } = await read(
    t,
    'source: {kubernetes: {}}\nauthority: {kubernetesSecret: {}}\nmetrics: {}\nmeshDefaults: {outbound: AllowAny}\n',
  );
  t.strictSame(problems, []);
  t.match(configuration, {
    source: {
      kind: 'kubernetes',
      clusterDomain: 'cluster.local',
      statusGroups: ['lateral.dev', 'security.istio.io', 'gateway.networking.k8s.io'],
    },
    authority: { kind: 'kubernetesSecret', name: 'lateral-ca' },
    metrics: { port: 15014, address: '0.0.0.0' },
    meshDefaults: { outbound: 'AllowAny' },
  });
});

t.test('what is not wanted in the status of resources of others is left out of it', async (t) => {
  const { configuration, problems } = await read(
    t,
    'source: {kubernetes: {status: {istio: false, routes: false}}}\nauthority: {kubernetesSecret: {}}\n',
  );
  t.strictSame(problems, []);
  t.match(configuration?.source, { statusGroups: ['lateral.dev'] });
  t.equal(configuration?.source.kind === 'kubernetes' && configuration.source.statusGroups?.length, 1);
});

t.test('exactly one source and one authority; unknown keys are errors', async (t) => {
  const both = await read(t, 'source: {directory: p, kubernetes: {}}\nauthority: {}\n');
  t.equal(both.configuration, undefined);
  t.match(
    both.problems.join('\n'),
    /:3:9: error invalid_value source: expected exactly one of directory and kubernetes/,
  );
  t.match(both.problems.join('\n'), /:4:12: error invalid_value authority: expected exactly one of/);
  const defaults = await read(
    t,
    'source: {kubernetes: {}}\nauthority: {directory: a}\nmeshDefaults: {mode: Enforced}\n',
  );
  t.match(defaults.problems.join('\n'), /meshDefaults.mode: .*did you mean Enforce\?/);
  const unknown = await read(t, 'sorce: {directory: p}\nauthority: {directory: ca}\n');
  t.match(unknown.problems.join('\n'), /:3:1: error unknown_field unknown field sorce; did you mean source\?/);
});

t.test('a trust domain that is none is refused', async (t) => {
  const { problems } = await read(
    t,
    'trustDomain: Cluster.Local\nsource: {directory: p}\nauthority: {directory: ca}\n',
  );
  t.match(problems[0], /:3:14: error invalid_value trustDomain: "Cluster.Local" has a trust domain with a character/);
});

t.test('MeshDefaults are good where a document with them is, and are taken as they are written', async (t) => {
  const given = {
    extensionProviders: [{ name: 'gate', envoyExtAuthzHttp: { service: 'gate.shop', port: 80, timeout: '1.5s' } }],
    authorization: { denialAlerts: { refusals: 10 } },
  };
  const of = (meshDefaults: unknown) =>
    read(
      t,
      `trustDomain: cluster.local\nsource: {kubernetes: {}}\nauthority: {kubernetesSecret: {}}\nmeshDefaults: ${JSON.stringify(meshDefaults)}\n`,
    );
  const { configuration, problems } = await of(given);
  t.strictSame(problems, []);
  t.strictSame(configuration?.meshDefaults, given);
  const document = resourceDocument({
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'MeshDefaults',
    namespace: 'lateral-system',
    name: 'configured',
    spec: configuration?.meshDefaults,
  });
  t.match(readDocuments([document], { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' }), [
    { any: { resource: { spec: { extensionProviders: [{ envoyExtAuthzHttp: { timeout: 1500 } }] } } } },
  ]);
  t.match((await of({ mode: 'Adit' })).problems, [/meshDefaults.mode/]);
});
