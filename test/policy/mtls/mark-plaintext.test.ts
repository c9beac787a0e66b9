import t from 'tap';
import { loadResources } from '#policy/load-resources.ts';
import { compileServices } from '#policy/mesh/compile-services.ts';
import { givenForm } from '#policy/mtls/mark-plaintext.ts';
import { readDocuments } from '#policy/snapshot/read-documents.ts';
import { indexResources } from '#policy/snapshot/select-snapshot.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WEB = { name: 'web-1', namespace: 'shop', serviceAccount: 'web', labels: { app: 'web' } };

const DB = `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: db, namespace: shop}
spec:
  hosts: [db]
  ports: [{port: 5432, protocol: tcp}, {port: 9187, protocol: http}]
  endpoints:
  - {address: 10.0.0.1, port: 25001, ports: {9187: 25002}, appPort: 5432, appPorts: {9187: 9187}, serviceAccount: db, labels: {app: db}}
  - {address: 10.0.0.2, port: 5432, ports: {9187: 9187}, serviceAccount: db, labels: {app: db, role: replica}}
  - {address: 10.0.0.3, port: 5432, plaintext: true}
`;
const OTHER = `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: api, namespace: other}
spec: {hosts: [api], endpoints: [{address: 10.0.1.1, port: 8080, serviceAccount: api, labels: {app: db}}]}
`;

function peer(name: string, namespace: string, spec: string): string {
  return `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`;
}
const defaults = (mode: string) =>
  `apiVersion: lateral.dev/v1alpha1\nkind: MeshDefaults\nmetadata: {name: default, namespace: lateral-system}\nspec: {mtls: {mode: ${mode}}}\n`;

function load(...texts: string[]) {
  const { resources, problems } = loadResources([{ path: 'a.yaml', text: texts.join('---\n') }], () => undefined, MESH);
  if (problems.some(({ severity }) => severity === 'error')) throw new Error(JSON.stringify(problems));
  return resources;
}

/** Addresses and ports that callers reach in plaintext, of the service's two ports. */
function plaintextOf(texts: readonly string[], host = 'db.shop') {
  const { resources } = indexResources(load(DB.replace('[db]', '[db, db.shop]'), OTHER, ...texts), MESH).select(WEB);
  const services = readDocuments(resources, MESH).flatMap(({ any }) =>
    any.type === 'MeshService' ? [any.resource] : [],
  );
  const registry = compileServices(services, WEB, MESH);
  return [5432, 9187].flatMap((port) =>
    (registry.resolve(`${host}:${port}`)?.endpoints ?? [])
      .filter(({ identity }) => identity === undefined)
      .map(({ address, port: at }) => `${address}:${at}`),
  );
}

const OUTSIDE = '10.0.0.3:5432';
const CASES: readonly (readonly [title: string, texts: readonly string[], wanted: readonly string[]])[] = [
  ['nothing said', [], [OUTSIDE, OUTSIDE]],
  [
    'PERMISSIVE callees are called by mutual TLS',
    [peer('p', 'shop', '{mtls: {mode: PERMISSIVE}}')],
    [OUTSIDE, OUTSIDE],
  ],
  [
    'a namespace that is DISABLE',
    [peer('p', 'shop', '{mtls: {mode: DISABLE}}')],
    ['10.0.0.1:25001', '10.0.0.2:5432', OUTSIDE, '10.0.0.1:25002', '10.0.0.2:9187', OUTSIDE],
  ],
  [
    'the mesh, by MeshDefaults',
    [defaults('DISABLE')],
    ['10.0.0.1:25001', '10.0.0.2:5432', OUTSIDE, '10.0.0.1:25002', '10.0.0.2:9187', OUTSIDE],
  ],
  [
    'a namespace that is STRICT in a mesh that is DISABLE',
    [peer('m', 'lateral-system', '{mtls: {mode: DISABLE}}'), peer('p', 'shop', '{mtls: {mode: STRICT}}')],
    [OUTSIDE, OUTSIDE],
  ],
  [
    'a workload, by the labels of its endpoints',
    [peer('p', 'shop', '{selector: {matchLabels: {role: replica}}, mtls: {mode: DISABLE}}')],
    ['10.0.0.2:5432', OUTSIDE, '10.0.0.2:9187', OUTSIDE],
  ],
  [
    'a port of the app, whatever its sidecar listens on',
    [peer('p', 'shop', '{selector: {matchLabels: {app: db}}, portLevelMtls: {9187: {mode: DISABLE}}}')],
    [OUTSIDE, '10.0.0.1:25002', '10.0.0.2:9187', OUTSIDE],
  ],
  [
    'all but one port of the app',
    [
      peer(
        'p',
        'shop',
        '{selector: {matchLabels: {app: db}}, mtls: {mode: DISABLE}, portLevelMtls: {5432: {mode: STRICT}}}',
      ),
    ],
    [OUTSIDE, '10.0.0.1:25002', '10.0.0.2:9187', OUTSIDE],
  ],
  [
    'a port of the sidecar is none of the app',
    [peer('p', 'shop', '{selector: {matchLabels: {app: db}}, portLevelMtls: {25001: {mode: DISABLE}}}')],
    [OUTSIDE, OUTSIDE],
  ],
];

for (const [title, texts, wanted] of CASES) {
  t.test(`reached in plaintext: ${title}`, (t) => {
    t.strictSame(plaintextOf(texts), wanted);
    t.end();
  });
}

t.test('a change touches the MeshServices that it concerns, and no others', (t) => {
  const before = indexResources(load(DB, OTHER), MESH);
  const find = (index: typeof before, key: string) => index.select(WEB).find(key);
  const disabled = indexResources(load(DB, OTHER, peer('p', 'shop', '{mtls: {mode: DISABLE}}')), MESH, before);
  t.not(find(disabled, 'MeshService/shop/db')?.version, find(before, 'MeshService/shop/db')?.version);
  t.equal(find(disabled, 'MeshService/other/api'), find(before, 'MeshService/other/api'));
  const selector = '{selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}';
  const more = load(DB, OTHER, peer('p', 'shop', '{mtls: {mode: DISABLE}}'), peer('web', 'shop', selector));
  const elsewhere = indexResources(more, MESH, disabled);
  t.equal(find(elsewhere, 'MeshService/shop/db'), find(disabled, 'MeshService/shop/db'), 'the very same object');
  t.equal(
    elsewhere.concerns({ namespace: 'shop', serviceAccount: 'db', labels: { app: 'db' } }),
    false,
    'nobody else is told',
  );
  const back = indexResources(load(DB, OTHER), MESH, elsewhere);
  t.equal(find(back, 'MeshService/shop/db')?.version, find(before, 'MeshService/shop/db')?.version);
  t.end();
});

t.test('a document that is the same object is marked once', (t) => {
  const resources = load(DB, OTHER, peer('p', 'shop', '{mtls: {mode: DISABLE}}'));
  const first = indexResources(resources, MESH);
  const snapshot = first.select(WEB);
  t.equal(indexResources([...resources], MESH, first).select(WEB), snapshot);
  t.end();
});

t.test('what travels is known by the version of what was written', (t) => {
  const resources = load(DB, peer('p', 'shop', '{mtls: {mode: DISABLE}}'));
  const given = resources.find(({ key }) => key === 'MeshService/shop/db');
  const travelling = indexResources(resources, MESH).select(WEB).find('MeshService/shop/db');
  t.not(travelling?.version, given?.version);
  t.equal(travelling === undefined ? undefined : givenForm(travelling), given);
  t.match(travelling?.document, /"serviceAccount":"db"/, 'and keeps who it is');
  t.end();
});

t.test('the ports of apps do not travel: they are for nobody but the control plane', (t) => {
  const resources = load(DB);
  const travelling = indexResources(resources, MESH).select(WEB).find('MeshService/shop/db');
  t.notMatch(travelling?.document, /appPort/);
  t.match(travelling?.document, /"ports":{"9187":25002}/);
  t.equal(travelling === undefined ? undefined : givenForm(travelling), resources[0]);
  t.end();
});

t.test('what comes to the same travels on as it was, known by the version of now', (t) => {
  const before = indexResources(load(DB), MESH);
  const [given] = load(DB.replace('appPort: 5432', 'appPort: 6432'));
  const after = indexResources(given === undefined ? [] : [given], MESH, before);
  const travelling = after.select(WEB).find('MeshService/shop/db');
  t.equal(travelling, before.select(WEB).find('MeshService/shop/db'));
  t.equal(travelling === undefined ? undefined : givenForm(travelling), given);
  t.end();
});

t.test('nobody writes plaintextPorts', (t) => {
  const text = DB.replace('appPort: 5432', 'appPort: 5432, plaintextPorts: [25001]');
  const { problems } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  t.match(problems, [{ severity: 'error', message: /plaintextPorts is made of PeerAuthentications/ }]);
  t.end();
});

t.test('appPorts are by ports that the service names', (t) => {
  const text = DB.replace('appPorts: {9187: 9187}', 'appPorts: {80: 9187, x: 1}');
  const { problems } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  t.match(problems, [{ message: /x is not a port/ }]);
  const unnamed = DB.replace('appPorts: {9187: 9187}', 'appPorts: {80: 9187}');
  const found = loadResources([{ path: 'a.yaml', text: unnamed }], () => undefined, MESH).problems;
  t.match(found, [{ message: /the service has no port 80; spec.ports: 5432, 9187/ }]);
  t.end();
});

t.test('an endpoint of another trust domain is reached by mutual TLS whatever is DISABLE here', async (t) => {
  const foreign = `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: db, namespace: shop}
spec:
  hosts: [db]
  endpoints: [{address: 10.0.0.9, port: 5432, spiffeId: "spiffe://partner.example/ns/data/sa/db", labels: {app: db}}]
`;
  const disabled = peer('p', 'shop', '{mtls: {mode: DISABLE}}');
  const { resources } = indexResources(load(foreign, disabled, defaults('DISABLE')), MESH).select(WEB);
  const services = readDocuments(resources, MESH).flatMap(({ any }) =>
    any.type === 'MeshService' ? [any.resource] : [],
  );
  t.match(compileServices(services, WEB, MESH).resolve('db')?.endpoints, [
    { identity: { uri: 'spiffe://partner.example/ns/data/sa/db', trustDomain: 'partner.example' } },
  ]);
});
