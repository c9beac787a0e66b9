import t from 'tap';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';
import { selectSnapshot } from '#policy/snapshot/select-snapshot.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { name: 'db-1', namespace: 'shop', serviceAccount: 'db', labels: { app: 'db', tier: 'data' } };

const mesh = (mode: string) => peer('mesh', 'lateral-system', `{mtls: {mode: ${mode}}}`);
const namespace = (mode: string, name = 'namespace') => peer(name, 'shop', `{mtls: {mode: ${mode}}}`);
const workload = (mode: string, name = 'workload', ports = '') =>
  peer(name, 'shop', `{selector: {matchLabels: {app: db}}, mtls: {mode: ${mode}}${ports}}`);
const defaults = (mode: string) =>
  `apiVersion: lateral.dev/v1alpha1\nkind: MeshDefaults\nmetadata: {name: default, namespace: lateral-system}\nspec: {mtls: {mode: ${mode}}}\n`;

function peer(name: string, ofNamespace: string, spec: string): string {
  return `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: ${name}, namespace: ${ofNamespace}}\nspec: ${spec}\n`;
}

async function compile(texts: readonly string[]) {
  const loaded = loadResources([{ path: 'a.yaml', text: texts.join('---\n') }], () => undefined, MESH);
  const policy = await compileWorkloadPolicy(
    selectSnapshot(loaded.resources, WORKLOAD, MESH),
    WORKLOAD,
    MESH,
    async () => [],
  );
  return { policy, problems: loaded.problems.map(formatProblem) };
}

const CASES: readonly (readonly [
  title: string,
  texts: readonly string[],
  wanted: 'STRICT' | 'PERMISSIVE' | 'DISABLE',
])[] = [
  ['nothing said', [], 'STRICT'],
  ['MeshDefaults', [defaults('PERMISSIVE')], 'PERMISSIVE'],
  ['the mesh before MeshDefaults', [defaults('PERMISSIVE'), mesh('STRICT')], 'STRICT'],
  ['the mesh', [mesh('PERMISSIVE')], 'PERMISSIVE'],
  ['a mesh that is UNSET inherits', [defaults('PERMISSIVE'), mesh('UNSET')], 'PERMISSIVE'],
  ['the namespace before the mesh', [mesh('PERMISSIVE'), namespace('STRICT')], 'STRICT'],
  ['a namespace that is UNSET inherits', [mesh('PERMISSIVE'), namespace('UNSET')], 'PERMISSIVE'],
  ['a namespace that says nothing inherits', [mesh('PERMISSIVE'), peer('namespace', 'shop', '{}')], 'PERMISSIVE'],
  ['the workload before the namespace', [namespace('STRICT'), workload('PERMISSIVE')], 'PERMISSIVE'],
  ['a workload that is UNSET inherits', [namespace('PERMISSIVE'), workload('UNSET')], 'PERMISSIVE'],
  ['MeshDefaults that are DISABLE', [defaults('DISABLE')], 'DISABLE'],
  ['a mesh that is DISABLE', [mesh('DISABLE')], 'DISABLE'],
  ['a namespace that is STRICT in a mesh that is DISABLE', [mesh('DISABLE'), namespace('STRICT')], 'STRICT'],
  ['a workload that is DISABLE in a namespace that is STRICT', [namespace('STRICT'), workload('DISABLE')], 'DISABLE'],
  ['a workload that is UNSET inherits DISABLE', [namespace('DISABLE'), workload('UNSET')], 'DISABLE'],
  ['another namespace says nothing here', [peer('p', 'other', '{mtls: {mode: PERMISSIVE}}')], 'STRICT'],
  [
    'another workload says nothing here',
    [peer('p', 'shop', '{selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}}')],
    'STRICT',
  ],
  [
    'a selector in the root namespace binds nothing, as in Istio',
    [peer('p', 'lateral-system', '{selector: {matchLabels: {app: db}}, mtls: {mode: PERMISSIVE}}')],
    'STRICT',
  ],
];

for (const [title, texts, wanted] of CASES) {
  t.test(title, async (t) => {
    const { policy } = await compile(texts);
    t.equal(policy.mtlsMode(5432), wanted);
  });
}

t.test('a port before its workload; one that is UNSET inherits; others are untouched', async (t) => {
  const ports = ', portLevelMtls: {5432: {mode: PERMISSIVE}, 6432: {mode: UNSET}, 7432: {}}';
  const { policy } = await compile([namespace('PERMISSIVE'), workload('STRICT', 'workload', ports)]);
  t.strictSame(
    [5432, 6432, 7432, 80].map((port) => policy.mtlsMode(port)),
    ['PERMISSIVE', 'STRICT', 'STRICT', 'STRICT'],
  );
});

t.test('a port that is STRICT in a workload that is DISABLE, and the other way round', async (t) => {
  const ports = ', portLevelMtls: {5432: {mode: STRICT}, 6432: {mode: UNSET}, 7432: {mode: DISABLE}}';
  const disabled = await compile([workload('DISABLE', 'workload', ports)]);
  t.strictSame(
    [5432, 6432, 7432, 80].map((port) => disabled.policy.mtlsMode(port)),
    ['STRICT', 'DISABLE', 'DISABLE', 'DISABLE'],
  );
  const strict = await compile([workload('STRICT', 'workload', ports)]);
  t.strictSame([strict.policy.mtlsMode(7432), strict.policy.mtlsMode(80)], ['DISABLE', 'STRICT']);
});

t.test('ports inherit from above where their workload says nothing', async (t) => {
  const ports = ', portLevelMtls: {5432: {mode: STRICT}}';
  const { policy } = await compile([mesh('PERMISSIVE'), workload('UNSET', 'workload', ports)]);
  t.strictSame([policy.mtlsMode(5432), policy.mtlsMode(80)], ['STRICT', 'PERMISSIVE']);
});

t.test('of several at one level the first by name is in force, and the others are named', async (t) => {
  const { policy, problems } = await compile([namespace('STRICT', 'b'), namespace('PERMISSIVE', 'a')]);
  t.equal(policy.mtlsMode(80), 'PERMISSIVE');
  t.strictSame(policy.problems, [
    'PeerAuthentication shop/b is not in force: shop/a binds the same workload and comes first',
  ]);
  t.strictSame(problems, [
    'a.yaml:3:18: warning superseded is not in force: PeerAuthentication shop/a (a.yaml:6) selects the same and comes first by name',
    'a.yaml:9:21: warning plaintext_allowed plaintext beside mutual TLS is meant for the way to STRICT: `lateral proxies` tells who still calls in plaintext',
  ]);
});

t.test('of several selectors that bind a workload the first by name is in force, with all its ports', async (t) => {
  const other = peer(
    'other',
    'shop',
    '{selector: {matchLabels: {tier: data}}, portLevelMtls: {5432: {mode: PERMISSIVE}}}',
  );
  const { policy } = await compile([workload('STRICT'), other]);
  t.strictSame([policy.mtlsMode(5432), policy.mtlsMode(80)], ['PERMISSIVE', 'STRICT']);
  t.match(policy.problems, [/shop\/workload is not in force: shop\/other binds/]);
});

t.test('a selector in the root namespace is warned of', async (t) => {
  const { problems } = await compile([
    peer('p', 'lateral-system', '{selector: {matchLabels: {app: db}}, mtls: {mode: PERMISSIVE}}'),
  ]);
  t.match(problems, [/^a\.yaml:4:8: warning .*binds no workload, as in Istio/]);
});
