import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { checkCommand } from '#cli/commands/check.ts';
import { loadResources } from '#policy/load-resources.ts';
import { shopProto } from '../support/shop-proto.ts';

/** Checks the files of a folder; paths are printed without it. */
async function check(t: Test, files: { readonly [name: string]: string }, ...args: readonly string[]) {
  const folder = t.testdir(files);
  let stdout = '';
  let stderr = '';
  const io = { stdout: (text: string) => (stdout += text), stderr: (text: string) => (stderr += text) };
  const code = await checkCommand.run([folder, ...args], io);
  return { code, lines: stdout.replaceAll(`${folder}/`, '').split('\n').slice(0, -1), stderr };
}

const SPEC = '{containers: [{name: a, ports: [{containerPort: 8080}]}]}';

function deployment(annotations: string, spec = SPEC, namespace = 'shop'): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: ${namespace}}
spec:
  template:
    metadata:
      labels: {app: web}
      annotations:
        ${annotations}
    spec: ${spec}
`;
}

const ROUND =
  "interception none: calls to the pod's address on port 8080 go round the sidecar, unless the app listens on 127.0.0.1 only or a NetworkPolicy guards the port";

t.test('interception none is a warning at the annotation, of every kind that makes pods', async (t) => {
  const files = { 'a.yaml': deployment('lateral.dev/interception: none') };
  const { code, lines, stderr } = await check(t, files);
  t.strictSame(lines, [`a.yaml:9:9: warning injection Deployment shop/web: ${ROUND}`]);
  t.equal(stderr, '0 errors, 1 warning in 1 file (0 resources, 1 workload)\n');
  t.equal(code, 0);

  const template = `{metadata: {annotations: {lateral.dev/interception: none}}, spec: ${SPEC}}`;
  const kinds = [
    ['v1', 'ReplicationController', `{template: ${template}}`],
    ['apps/v1', 'ReplicaSet', `{template: ${template}}`],
    ['apps/v1', 'StatefulSet', `{template: ${template}}`],
    ['apps/v1', 'DaemonSet', `{template: ${template}}`],
    ['batch/v1', 'Job', `{template: ${template}}`],
    ['batch/v1', 'CronJob', `{jobTemplate: {spec: {template: ${template}}}}`],
  ];
  const text = (apiVersion = '', kind = '', spec = '') =>
    `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x, namespace: shop}\nspec: ${spec}\n---\n`;
  const pod = `apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: shop, annotations: {lateral.dev/interception: none}}\nspec: ${SPEC}\n`;
  const all = await check(t, { 'a.yaml': kinds.map((one) => text(...one)).join('') + pod });
  const shown = ({ kind = '', line = 0, column = 0 }) =>
    `a.yaml:${line}:${column}: warning injection ${kind} shop/x: ${ROUND}`;
  t.strictSame(all.lines, [
    ...kinds.map(([, kind, spec = ''], index) =>
      shown({ kind: kind ?? '', line: index * 5 + 4, column: 7 + spec.indexOf('lateral.dev') }),
    ),
    shown({ kind: 'Pod', line: kinds.length * 5 + 3, column: 52 }),
  ]);
});

t.test('what the injector refuses is an error where it stands, in Lists too', async (t) => {
  const list = `apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Pod
    metadata: {name: p, annotations: {lateral.dev/exclude-inbound-ports: "80,http"}}
    spec:
      initContainers: [{name: first}]
      containers:
        - name: a
          ports:
            - containerPort: 80
            - containerPort: 15001
        - name: istio-proxy
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: d, namespace: shop}
    spec:
      template:
        metadata: {labels: {lateral.dev/inject: maybe}}
`;
  const volume = deployment('a: b', '{volumes: [{name: lateral-state}]}');
  const { code, lines } = await check(t, { 'a.yaml': list, 'b.yaml': volume });
  t.strictSame(lines, [
    'a.yaml:6:39: error injection_refused Pod default/p: annotation lateral.dev/exclude-inbound-ports: "http" is not a port from 1 to 65535',
    'a.yaml:13:15: error injection_refused Pod default/p: containerPort 15001: the sidecar listens there; choose another',
    'a.yaml:14:11: error injection_refused Pod default/p: container istio-proxy: the sidecar of another mesh; set sidecar.istio.io/inject: "false" to be rid of it, or lateral.dev/inject: "false"',
    'a.yaml:20:29: error injection_refused Deployment shop/d: label lateral.dev/inject: expected "true" or "false", got "maybe"',
    "b.yaml:5:3: error injection_refused Deployment shop/web: volume lateral-state: the name is the sidecar's; choose another",
  ]);
  t.equal(code, 1);
});

t.test('what YAML merges into a pod counts, as kubectl reads it', async (t) => {
  const text = `apiVersion: v1
kind: Pod
metadata:
  name: p
  labels: &own {lateral.dev/interception: none}
  annotations: {<<: *own, lateral.dev/exclude-inbound-ports: "9000"}
spec:
  containers:
    - &one {name: a, ports: [{name: http, containerPort: 8080}]}
    - {<<: [{name: c}, *one], readinessProbe: {httpGet: {port: http}}}
`;
  const { lines } = await check(t, { 'a.yaml': text });
  t.strictSame(lines, [`a.yaml:6:16: warning injection Pod default/p: ${ROUND}`]);
});

t.test('a pod that only says it has been injected is an error, not the end of the command', async (t) => {
  const env = '[{name: LATERAL_CONFIG, value: "no JSON"}]';
  const app = '{name: a, readinessProbe: {tcpSocket: {port: 80}}}';
  const spec = `{containers: [{name: lateral-sidecar, env: ${env}}, ${app}]}`;
  const { code, lines } = await check(t, { 'a.yaml': deployment('lateral.dev/injected: "{}"', spec) });
  t.match(lines, [/^a\.yaml:10:25: error injection_refused .*LATERAL_CONFIG is not the mapping in JSON/]);
  t.equal(lines.length, 1);
  t.equal(code, 1);
});

t.test('of a pod with countless faults the first hundred are told', async (t) => {
  const containers = Array.from({ length: 150 }, (_, index) => `{name: c${index}, securityContext: {runAsUser: 1337}}`);
  const { lines } = await check(t, { 'a.yaml': deployment('a: b', `{containers: [${containers.join(', ')}]}`) });
  t.equal(lines.length, 101);
  t.ok(lines.some((line) => line.endsWith('more than 100 problems; the rest is left out')));
});

t.test('nothing is said of pods that the injector leaves alone', async (t) => {
  const none = 'lateral.dev/interception: none';
  const { code, lines, stderr } = await check(
    t,
    {
      'a.yaml': deployment(`${none}\n        lateral.dev/inject: "false"`),
      'b.yaml': deployment(none, SPEC, 'kube-system'),
      'c.yaml': deployment(none, SPEC, 'mesh'),
      'd.yaml': deployment(none, SPEC.replace('{', '{hostNetwork: true, ')),
    },
    '--root-namespace',
    'mesh',
  );
  t.strictSame(lines, []);
  t.equal(stderr, 'no problems in 4 files (0 resources, 4 workloads)\n');
  t.equal(code, 0);
});

t.test('other objects of Kubernetes are passed over and counted; what only looks like one is not', async (t) => {
  const object = ([apiVersion, kind]: readonly [string, string, ...string[]]) =>
    `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\n---\n`;
  const builtIn = [
    ['v1', 'Service'],
    ['v1', 'Namespace'],
    ['v1', 'Service'],
    ['networking.k8s.io/v1', 'NetworkPolicy'],
    ['rbac.authorization.k8s.io/v1', 'Role'],
  ] as const;
  const text = builtIn.map(object).join('');
  const good = await check(t, { 'a.yaml': text }, '--json');
  t.strictSame(JSON.parse(good.lines[0] ?? ''), { problems: [], errors: 0, warnings: 0 });
  t.equal(good.stderr, 'passed over 5 objects of Kubernetes: 1 Namespace, 1 NetworkPolicy, 1 Role, 2 Service\n');
  t.equal(good.code, 0);

  const bad = [
    ['example.com/v1', 'Deployment', 'unknown_kind'],
    ['apps', 'Deployment', 'unknown_kind'],
    ['v2', 'Service', 'unknown_kind'],
    ['v1', 'AuthorizationPolicy', 'unknown_api_version'],
    ['v1', 'HTTPRoute', 'unknown_api_version'],
    ['gateway.networking.k8s.io/v1', 'HTTPRoute', 'not_implemented'],
  ] as const;
  const { code, lines } = await check(t, { 'a.yaml': bad.map(object).join('') });
  t.equal(code, 1);
  t.strictSame(
    lines.map((line) => line.split(' ')[2]),
    bad.map(([, , problem]) => problem),
  );
  const nested = `apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: []}]\n`;
  t.match((await check(t, { 'a.yaml': nested })).lines, [/unknown kind List/]);
});

t.test('a folder of a control plane or standalone sidecar takes none of it', (t) => {
  const configMap = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\n---\n';
  const files = [{ path: 'a.yaml', text: configMap + deployment('a: b') }];
  const mesh = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
  t.strictSame(
    loadResources(files, () => undefined, mesh).problems.map(({ line, code }) => ({ line, code })),
    [
      { line: 2, code: 'unknown_kind' },
      { line: 6, code: 'unknown_kind' },
    ],
  );
  t.end();
});

const SCHEMA = `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: orders, namespace: shop}
spec:
  openapi:
    configMapRefs:
      - {name: orders, key: one}
      - {name: orders, key: two}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: orders, namespace: shop}
spec: {schemaRefs: [orders], overrides: [{operationId: list, request: {body: Skip}}]}
`;

function configMap(data: string, namespace = 'shop'): string {
  return `---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: orders, namespace: ${namespace}}\ndata: ${data}\n`;
}

const ONE = `'{"openapi":"3.1.0","info":{"title":"o","version":"1"},"paths":'`;
const TWO = `'{"/orders":{"get":{"operationId":"list","responses":{"200":{"description":"ok"}}}}}}'`;

t.test('the documents of APISchemas are taken from the ConfigMaps of their namespace', async (t) => {
  const files = { 'a.yaml': SCHEMA + configMap(`{one: ${ONE}, two: ${TWO}}`) };
  const good = await check(t, files);
  t.strictSame(good.lines, []);
  t.equal(good.stderr, 'no problems in 1 file (2 resources)\n');

  const other = await check(t, { 'a.yaml': files['a.yaml'].replace('operationId: list', 'operationId: lsit') });
  t.match(other.lines, [/^a\.yaml:13:\d+: error unknown_reference .*did you mean list\?$/]);

  const broken = await check(t, { 'a.yaml': SCHEMA + configMap(`{one: ${ONE}, two: 'x'}`) });
  t.match(broken.lines[0], /^a\.yaml:6:5: error \S+ line 1, column \d+ of the document: /);
  t.equal(broken.code, 1);
});

t.test('a ConfigMap that is not among the files is a doubt, and what hangs on it is not judged', async (t) => {
  const missing = (line: number, index: number) =>
    `a.yaml:${line}:9: warning missing_config_map spec.openapi.configMapRefs[${index}]: ConfigMap orders of namespace shop is not among the files, so the document is not checked; name its file too, or check against the cluster that has it (--cluster)`;
  for (const text of [SCHEMA, SCHEMA + configMap(`{one: ${ONE}, two: ${TWO}}`, 'bank')]) {
    const { code, lines } = await check(t, { 'a.yaml': text });
    t.strictSame(lines, [missing(7, 0), missing(8, 1)]);
    t.equal(code, 0);
  }
  const { code, lines } = await check(t, { 'a.yaml': SCHEMA + configMap(`{one: ${ONE}, too: ${TWO}}`) });
  t.strictSame(lines, [
    'a.yaml:8:9: error missing_config_map spec.openapi.configMapRefs[1]: ConfigMap orders has no key two in its data; it has one, too',
  ]);
  t.equal(code, 1);
});

t.test("the example's manifests are in order, but for the ConfigMaps that kubectl makes", async (t) => {
  const folder = fileURLToPath(new URL('../../examples/shop/kubernetes', import.meta.url));
  let stdout = '';
  const code = await checkCommand.run([folder], { stdout: (text) => (stdout += text), stderr: () => {} });
  t.equal(code, 0);
  const lines = stdout.split('\n').slice(0, -1);
  t.equal(lines.length, 3);
  for (const line of lines) t.match(line, `${join(folder, 'policies.yaml')}:`);
  for (const line of lines) t.match(line, / warning missing_config_map /);
});

t.test('a descriptor set comes from binaryData, its parts joined as bytes', async (t) => {
  const schema = SCHEMA.slice(0, SCHEMA.indexOf('---')).replace('openapi:', 'protoDescriptorSet:');
  const binary = (data: string) => configMap('{}').replace('data: {}', `binaryData: ${data}`);
  const { set } = await shopProto();
  const [one, two] = [set.subarray(0, 1_000), set.subarray(1_000)].map((part) => part.toString('base64'));
  const good = await check(t, { 'a.yaml': schema + binary(`{one: "${one}", two: "${two}"}`) });
  t.strictSame(good.lines, []);
  t.equal(good.code, 0);
  const missing = await check(t, { 'a.yaml': schema + binary('{one: "Cg=="}') });
  t.match(missing.lines, [
    /^a\.yaml:8:\d+: error missing_config_map spec\.protoDescriptorSet\.configMapRefs\[1\]: .*has one/,
  ]);
});

t.test('what policies say about gRPC methods is held against the descriptor set', async (t) => {
  const { set } = await shopProto();
  const files = (inline: string, spec: string) => ({
    'a.yaml': `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: shop, namespace: shop}
spec: {protoDescriptorSet: {inline: ${inline}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: shop, namespace: shop}
spec: {schemaRefs: [shop], ${spec}}
`,
  });
  const good = files(
    set.toString('base64'),
    'grpc: {methods: [shop.v1.Orders/*], exempt: [Health]}, overrides: [{operationId: shop.v1.Orders/Place, mode: Enforce}]',
  );
  t.strictSame((await check(t, good)).lines, []);
  const bad = files(
    set.toString('base64'),
    'grpc: {methods: [shop.v1.Orders/Plce]}, overrides: [{operationId: shop.v1.Orders/Nothing}]',
  );
  t.match((await check(t, bad)).lines, [
    /unknown_reference no descriptor set has the method shop\.v1\.Orders\/Plce; did you mean shop\.v1\.Orders\/Place\?/,
    /unknown_reference no operation has the operationId shop\.v1\.Orders\/Nothing/,
  ]);
  t.match((await check(t, files('AAAA', ''))).lines, [/invalid_descriptor_set is no FileDescriptorSet/]);
});

t.test('text that is cut within a character is whole again', async (t) => {
  const bytes = Buffer.from('{"openapi":"3.1.0","info":{"title":"é","version":"1"},"paths":{}}');
  const cut = bytes.indexOf('é') + 1;
  const [one, two] = [bytes.subarray(0, cut), bytes.subarray(cut)].map((part) => part.toString('base64'));
  const schema = SCHEMA.slice(0, SCHEMA.indexOf('---'));
  const binary = configMap('{}').replace('data: {}', `binaryData: {one: "${one}", two: "${two}"}`);
  t.strictSame((await check(t, { 'a.yaml': schema + binary })).lines, []);
});

t.test('a sunset that has passed, and a policy over a retired API, are warned of', async (t) => {
  const schema = (name: string, lifecycle: string) => `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: ${name}, namespace: shop}
spec:
  openapi: {inline: {openapi: 3.1.0, info: {title: o, version: "1"}, paths: {}}}
  lifecycle: ${lifecycle}
---
`;
  const policy = `apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: orders, namespace: shop}
spec: {schemaRefs: [past, retired, coming]}
`;
  const past = schema('past', '{state: Deprecated, sunset: 2020-01-01}');
  const retired = schema('retired', '{state: Retired, sunset: 2020-01-01}');
  const coming = schema('coming', '{sunset: "2999-01-01"}');
  const { lines, code } = await check(t, { 'a.yaml': past + retired + coming + policy });
  t.match(lines, [
    /^a\.yaml:6:\d+: warning sunset_passed the sunset 2020-01-01 has passed, and the API is Deprecated/,
    /^a\.yaml:25:\d+: warning retired_schema APISchema shop\/retired is Retired/,
  ]);
  t.equal(lines.length, 2);
  t.equal(code, 0);
});

t.test("a document that OpenAPI's own schema refuses is warned of, by position", async (t) => {
  const schema = `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: orders, namespace: shop}
spec: {openapi: {file: orders.openapi.yaml}}
`;
  const document = (info: string, schema: string) => `openapi: 3.0.3
info: ${info}
paths:
  /a:
    get:
      parameters: [{name: x, in: query, schema: ${schema}}]
      responses: {"200": {description: fine}}
`;
  const linesOf = async (info: string, type: string) =>
    (await check(t, { 'a.yaml': schema, 'orders.openapi.yaml': document(info, type) })).lines;
  t.strictSame(await linesOf('{title: t, version: "1"}', '{type: string}'), []);
  t.match(await linesOf('{title: t}', '{type: string}'), [
    /^orders\.openapi\.yaml:2:\d+: warning not_openapi by the schema of OpenAPI: must have required property 'version'/,
  ]);
  const [, line] = await linesOf('{title: t, version: "1"}', '{type: string, required: x}');
  t.match(line, /^orders\.openapi\.yaml:6:\d+: warning not_openapi /);
});
