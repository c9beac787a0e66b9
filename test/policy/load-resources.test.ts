import t from 'tap';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';
import { contentProblems } from '#policy/resource/content-problems.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

function load(text: string, documents: { readonly [path: string]: string } = {}) {
  return loadResources([{ path: 'policies/a.yaml', text }], (path) => documents[path], MESH);
}

/** Problems as they are printed, without the file. */
function problemsOf(text: string, documents: { readonly [path: string]: string } = {}): readonly string[] {
  return load(text, documents).problems.map((problem) => formatProblem(problem).replace('policies/a.yaml:', ''));
}

/** An AuthorizationPolicy whose spec begins at line 4, column 3. */
function policy(spec: string, { apiVersion = 'security.istio.io/v1', name = 'p' } = {}): string {
  const indented = spec.replace(/^/gm, '  ');
  return `apiVersion: ${apiVersion}\nkind: AuthorizationPolicy\nmetadata: {name: ${name}, namespace: shop}\nspec:\n${indented}\n`;
}

function service(name: string, spec: string, namespace = 'shop'): string {
  return `apiVersion: lateral.dev/v1alpha1\nkind: MeshService\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`;
}

t.test('a principal of a domain that the mesh federates with is no slip', async (t) => {
  const text = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: shop}
spec: {rules: [{from: [{source: {principals: [partner.example/ns/x/sa/y, other.example/ns/x/sa/y]}}]}]}
`;
  const { problems } = loadResources([{ path: 'a.yaml', text }], () => undefined, {
    trustDomain: 'cluster.local',
    rootNamespace: 'lateral-system',
    otherDomains: ['partner.example'],
  });
  t.match(problems, [{ code: 'unknown_principal', message: /^other\.example/ }]);
});

t.test('each kind of slip has its position and says what to write', (t) => {
  const table: readonly (readonly [title: string, text: string, problems: readonly string[]])[] = [
    [
      'an unknown key, with the nearest spelling',
      policy('rules:\n- form: []'),
      ['6:5: error unknown_field spec.rules[0]: unknown field form; did you mean from?'],
    ],
    [
      'an unknown key of the resource itself',
      'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspecs: {}\n',
      ['4:1: error unknown_field unknown field specs; did you mean spec?'],
    ],
    [
      'an unknown key of metadata',
      'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespac: shop}\n',
      [
        '3:11: error missing_field metadata: missing field namespace',
        '3:21: error unknown_field metadata: unknown field namespac; did you mean namespace?',
      ],
    ],
    [
      'a wrong type',
      policy('rules:\n- to: [{operation: {methods: GET}}]'),
      ['6:32: error invalid_type spec.rules[0].to[0].operation.methods: expected a list, got "GET"'],
    ],
    [
      'a number where Istio has a string',
      policy('rules:\n- to: [{operation: {ports: [8080]}}]'),
      ['6:31: error invalid_type spec.rules[0].to[0].operation.ports[0]: expected a string, got 8080'],
    ],
    ['a key given twice', policy('action: DENY\naction: ALLOW'), ['6:3: error duplicate_key duplicate key action']],
    [
      'an unknown kind',
      'apiVersion: security.istio.io/v1\nkind: AuthorisationPolicy\n',
      ['2:7: error unknown_kind kind: unknown kind AuthorisationPolicy; did you mean AuthorizationPolicy?'],
    ],
    [
      'a kind under the wrong API version',
      'apiVersion: lateral.dev/v1\nkind: MeshDefaults\n',
      [
        '1:13: error unknown_api_version apiVersion: MeshDefaults is not of lateral.dev/v1; expected lateral.dev/v1alpha1',
      ],
    ],
    [
      'a kind that comes later',
      'apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: shop}\n',
      ['2:7: error not_implemented kind: HTTPRoute is not yet supported in this version; remove it'],
    ],
    [
      'a provider of no CUSTOM policy',
      policy('provider: {name: opa}'),
      ['5:3: error invalid_value spec: provider goes with action CUSTOM, not with ALLOW'],
    ],
    [
      'a CUSTOM policy without a provider',
      policy('action: CUSTOM\nrules: [{}]'),
      ['5:11: error missing_field spec.action: CUSTOM needs provider: {name: …}'],
    ],
    [
      'a provider that nobody has',
      policy('action: CUSTOM\nprovider: {name: opa}\nrules: [{}]'),
      ['6:20: error unknown_reference MeshDefaults.extensionProviders has no opa; it has none'],
    ],
    [
      'a condition that comes later',
      policy('rules:\n- when: [{key: "experimental.envoy.filters.a[b]", values: [x]}]'),
      [
        '6:18: error not_implemented spec.rules[0].when[0].key: the attribute experimental.envoy.filters.a[b] is not implemented in this version',
      ],
    ],
    [
      'an unknown condition',
      policy('rules:\n- when: [{key: source.prinzipal, values: [x]}]'),
      [
        '6:18: error invalid_value spec.rules[0].when[0].key: unknown attribute source.prinzipal; did you mean source.principal?',
      ],
    ],
    [
      'a condition without values',
      policy('rules:\n- when: [{key: source.principal}]'),
      ['6:12: error missing_field spec.rules[0].when[0]: give values or notValues for source.principal'],
    ],
    [
      'a principal with its scheme',
      policy('rules:\n- from: [{source: {principals: ["spiffe://cluster.local/ns/shop/sa/web"]}}]'),
      [
        '6:35: error invalid_value spec.rules[0].from[0].source.principals[0]: principals are written without the scheme: cluster.local/ns/shop/sa/web',
      ],
    ],
    [
      'an empty from',
      policy('rules:\n- from: []'),
      ['6:11: error invalid_value spec.rules[0].from: a list of 0 entries; expected at least 1'],
    ],
    [
      'an empty operation',
      policy('rules:\n- to: [{operation: {}}]'),
      [
        '6:22: error invalid_value spec.rules[0].to[0].operation: must not be empty; give one of hosts, notHosts, ports, notPorts, methods, notMethods, paths, notPaths',
      ],
    ],
    [
      'an empty string',
      policy('rules:\n- to: [{operation: {paths: [""]}}]'),
      ['6:31: error invalid_value spec.rules[0].to[0].operation.paths[0]: must not be empty'],
    ],
    [
      'a path template with more in its segment',
      policy('rules:\n- to: [{operation: {paths: ["/a/{*}x"]}}]'),
      [
        '6:31: error invalid_value spec.rules[0].to[0].operation.paths[0]: the segment {*}x has braces beyond {*} and {**}, which stand alone in their segment',
      ],
    ],
    [
      'serviceAccounts beside principals',
      policy('rules:\n- from: [{source: {serviceAccounts: [web], principals: [x]}}]'),
      [
        '6:21: error invalid_value spec.rules[0].from[0].source: serviceAccounts cannot be set together with principals or namespaces',
      ],
    ],
    [
      'DENY without rules',
      policy('action: DENY'),
      ['5:3: error missing_field spec: DENY without rules is meaningless: it never applies; `rules: [{}]` denies all'],
    ],
    [
      'selector and targetRefs',
      policy('selector: {}\ntargetRefs: [{kind: Service, name: a}]\nrules: [{}]'),
      ['6:3: error invalid_value spec: targetRefs and selector cannot both be set'],
    ],
    [
      'targetRefs of our own group',
      policy('targetRefs: [{kind: Service, name: a}]\nrules: [{}]', { apiVersion: 'lateral.dev/v1alpha1' }),
      [],
    ],
    [
      'a target that is no Service',
      policy(
        'targetRefs:\n- {kind: Gateway, group: gateway.networking.k8s.io, name: a}\n- {kind: Service}\nrules: [{}]',
        {
          apiVersion: 'lateral.dev/v1alpha1',
        },
      ),
      [
        '6:5: error invalid_value spec.targetRefs[0]: gateway.networking.k8s.io/Gateway cannot be targeted; a Service can: {kind: Service, name: …}, or {group: lateral.dev, kind: MeshService, name: …}',
        '7:5: error invalid_value spec.targetRefs[1]: missing field name: which Service?',
      ],
    ],
    [
      "a target of another namespace, and the name of Kubernetes' group",
      policy(
        'targetRefs:\n- {kind: Service, name: a, namespace: other}\n- {kind: Service, name: a, group: lateral.dev}\nrules: [{}]',
        {
          apiVersion: 'lateral.dev/v1alpha1',
        },
      ),
      [
        '6:5: error invalid_value spec.targetRefs[0]: a policy targets Services of its own namespace (shop), not of other: write it there',
        '7:5: error invalid_value spec.targetRefs[1]: lateral.dev/Service cannot be targeted; a Service can: {kind: Service, name: …}, or {group: lateral.dev, kind: MeshService, name: …}',
      ],
    ],
    [
      'no targets under our own group',
      policy('targetRefs: []\nrules: [{}]', { apiVersion: 'lateral.dev/v1alpha1' }),
      [
        '5:15: error invalid_value spec.targetRefs: no target is named; without targetRefs all workloads of the namespace are bound',
      ],
    ],
    ["no targets under Istio's group bind as none, as in istiod", policy('targetRefs: []\nrules: [{}]'), []],
    [
      'an Istio policy with targetRefs',
      policy('targetRefs: [{kind: Gateway, name: a}]\nrules: [{}]'),
      [
        '5:3: warning invalid_value spec: a policy with targetRefs is ignored on sidecars; under lateral.dev/v1alpha1 it can target a Service',
      ],
    ],
    [
      'a list that restricts nothing',
      policy('rules:\n- from: [{source: {principals: [], namespaces: [a]}}]'),
      [
        '6:34: warning invalid_value spec.rules[0].from[0].source.principals: an empty list is read as absent, as Istio does: it restricts nothing',
      ],
    ],
    [
      'patterns that match nothing',
      policy(
        'rules:\n- to: [{operation: {methods: [get], paths: [orders, "/a*b", "*a*", "/a?b", "*", "/a/*", "*.js"], hosts: ["a.*.b"]}}]',
      ),
      [
        '6:33: warning suspicious_value spec.rules[0].to[0].operation.methods[0]: methods are compared with regard to case; did you mean GET?',
        '6:47: warning suspicious_value spec.rules[0].to[0].operation.paths[0]: no path is orders: paths begin with /',
        '6:55: warning suspicious_value spec.rules[0].to[0].operation.paths[1]: a * is a wildcard only at one end of a value; in /a*b it is compared as it is',
        '6:63: warning suspicious_value spec.rules[0].to[0].operation.paths[2]: a * is a wildcard only at one end of a value; in *a* it is compared as it is',
        '6:70: warning suspicious_value spec.rules[0].to[0].operation.paths[3]: no path is /a?b: the query is not part of it',
        '6:108: warning suspicious_value spec.rules[0].to[0].operation.hosts[0]: a * is a wildcard only at one end of a value; in a.*.b it is compared as it is',
      ],
    ],
    [
      'a dry run of what has none',
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: shop, annotations: {istio.io/dry-run: "true"}}\n',
      [
        '3:52: error not_implemented metadata.annotations: istio.io/dry-run of a PeerAuthentication is not implemented in this version',
      ],
    ],
    [
      'a namespace that is none',
      'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: Shop}\n',
      [
        '3:32: error invalid_value metadata.namespace: Shop is not an RFC 1123 label: a-z, 0-9 and "-", a letter or digit at both ends',
      ],
    ],
    [
      'MeshDefaults outside of the root namespace',
      'apiVersion: lateral.dev/v1alpha1\nkind: MeshDefaults\nmetadata: {name: d, namespace: shop}\n',
      [
        '3:32: error invalid_value metadata.namespace: MeshDefaults must be in the root namespace lateral-system, not in shop',
      ],
    ],
    [
      'a reference to a schema that is not there',
      'apiVersion: lateral.dev/v1alpha1\nkind: APIValidationPolicy\nmetadata: {name: v, namespace: shop}\nspec: {schemaRefs: [orders]}\n',
      ['4:21: error unknown_reference no APISchema shop/orders is defined'],
    ],
    [
      'a document that is no mapping',
      '- a\n',
      ['1:1: error invalid_type expected a resource: a mapping with apiVersion, kind, metadata and spec'],
    ],
    ['a tab', 'a:\n\tb: 1\n', ['2:1: error yaml_syntax Tabs are not allowed as indentation']],
    [
      'an unfinished list',
      'a: [1\n',
      ['2:1: error yaml_syntax Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
  ];
  for (const [title, text, wanted] of table) t.same(problemsOf(text), wanted, title);
  t.end();
});

t.test('names and hosts used twice point to their first use', (t) => {
  t.same(problemsOf(`${policy('rules: [{}]')}---\n${policy('rules: [{}]', { apiVersion: 'lateral.dev/v1alpha1' })}`), [
    '9:18: error duplicate_resource AuthorizationPolicy shop/p is already defined at policies/a.yaml:1',
  ]);
  t.same(problemsOf(`${service('b', '{hosts: [x.example.com]}')}---\n${service('a', '{hosts: [X.example.com]}')}`), [
    '4:16: error duplicate_host the host x.example.com is already claimed by MeshService shop/a (policies/a.yaml:6)',
  ]);
  t.same(
    problemsOf(`${service('a', '{hosts: [a]}')}---\n${service('a', '{hosts: [a]}', 'other')}`),
    [],
    'bare names are of their namespace',
  );
  const defaults = (name: string) =>
    `apiVersion: lateral.dev/v1alpha1\nkind: MeshDefaults\nmetadata: {name: ${name}, namespace: lateral-system}\n`;
  t.same(problemsOf(`${defaults('a')}---\n${defaults('b')}`), [
    '6:7: error duplicate_resource a mesh has at most one MeshDefaults; the first is at policies/a.yaml:1',
  ]);
  t.end();
});

t.test('a host that names another namespace is refused', (t) => {
  const refused = (host: string, namespace: string) =>
    `4:16: error foreign_host`.concat(
      host.includes('.svc') ? ' spec.hosts[0]:' : '',
      ` the host ${host} names the namespace ${namespace}; this service is of shop`,
    );
  t.same(problemsOf(service('payments', '{hosts: [payments.billing.svc.cluster.local]}')), [
    refused('payments.billing.svc.cluster.local', 'billing'),
  ]);
  t.same(problemsOf(service('payments', '{hosts: [x.billing.svc]}')), [refused('x.billing.svc', 'billing')]);
  t.same(
    problemsOf(service('payments', '{hosts: [payments.billing]}')),
    [refused('payments.billing', 'billing')],
    'its own name',
  );
  t.same(
    problemsOf(service('payments', '{hosts: [x-0.x.billing.svc.cluster.local]}')),
    [refused('x-0.x.billing.svc.cluster.local', 'billing')],
    'a pod of a StatefulSet',
  );
  const other = service('x', '{hosts: [x]}', 'billing');
  t.same(
    problemsOf(`${service('payments', '{hosts: [x-0.x.billing]}')}---\n${other}`),
    [refused('x-0.x.billing', 'billing')],
    'and its short name',
  );
  t.same(
    problemsOf(`${service('payments', '{hosts: [y.billing]}')}---\n${other}`),
    [refused('y.billing', 'billing')],
    'a namespace of the mesh',
  );
  const allowed =
    '{hosts: [payments, payments.shop, payments.shop.svc, payments.shop.svc.cluster.local, api.example.com, example.com, "127.0.0.1:25001", "[::1]:80"]}';
  t.same(problemsOf(service('payments', allowed)), []);
  t.end();
});

t.test('doubts are warnings, and only raised about sets without errors', (t) => {
  const orders = service(
    'orders',
    '{hosts: [orders], endpoints: [{address: 127.0.0.1, port: 1, serviceAccount: orders, labels: {version: v1}}]}',
  );
  t.same(problemsOf(`${policy('selector: {matchLabels: {app: odrers}}\nrules: [{}]')}---\n${orders}`), [
    '5:13: warning no_workload binds no workload: the selector matches no endpoint that a MeshService of the namespace declares',
  ]);
  t.same(
    problemsOf(`${policy('selector: {matchLabels: {app: orders}}\nrules: [{}]')}---\n${orders}`),
    [],
    'named like its service',
  );
  t.same(
    problemsOf(`${policy('selector: {matchLabels: {tier: back}}\nrules: [{}]')}---\n${orders}`),
    [],
    'a label that endpoints need not carry',
  );
  t.same(
    problemsOf(policy('selector: {matchLabels: {app: odrers}}\nrules: [{}]')),
    [],
    'nothing is known without any MeshService',
  );
  t.same(
    problemsOf(
      `${policy('rules:\n- from: [{source: {principals: [cluster.local/ns/shop/sa/odrers]}}]')}---\n${orders}`,
    ),
    [
      '6:35: warning unknown_principal no endpoint of namespace shop has the service account odrers (expected where that workload only calls others)',
    ],
  );
  t.same(problemsOf(`${policy('rules:\n- from: [{source: {principals: [cluster.locl/ns/shop/sa/orders]}}]')}`), [
    "6:35: warning unknown_principal cluster.locl/ns/shop/sa/orders is of the trust domain cluster.locl; that of the mesh is cluster.local, and it is nobody's unless the mesh federates with the other or has it for an alias",
  ]);
  const contradiction = `${policy('rules:\n- to: [{operation: {methods: [GET, PUT]}}]')}---\n${policy('action: DENY\nrules:\n- to: [{operation: {methods: [PUT, GET]}}]', { name: 'q' })}`;
  t.same(problemsOf(contradiction), [
    '6:5: warning contradiction rule 0 can never allow anything: DENY policy shop/q rule 0 (policies/a.yaml:8) covers it, and DENY is judged first',
  ]);
  t.same(problemsOf(`${contradiction}---\nkind: x\n`), ['16:1: error missing_field missing field apiVersion']);
  const tcp = service('db', '{hosts: [db], ports: [{port: 5432, protocol: tcp}]}');
  t.same(problemsOf(`${policy('action: DENY\nrules:\n- to: [{operation: {paths: [/admin]}}]')}---\n${tcp}`), [
    '7:5: warning denies_tcp denies every TCP connection: only HTTP fields are in it, which TCP has not; name the port',
  ]);
  t.end();
});

t.test('hostile files get a clear message within seconds', (t) => {
  let bomb = 'a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n';
  for (let level = 1; level < 20; level++)
    bomb += `a${level}: &a${level} [${Array(10)
      .fill(`*a${level - 1}`)
      .join(',')}]\n`;
  t.same(problemsOf(bomb), ['6:38: error yaml_bomb more than 1000000 values once its aliases are expanded']);
  t.same(problemsOf('a: &a [*a]\n'), ['1:8: error yaml_syntax alias of an unknown or unfinished anchor *a']);
  t.same(problemsOf('x'.repeat(10 * 1024 * 1024)), [
    '1:1: error file_too_large file of 10485760 bytes exceeds the limit of 4194304',
  ]);
  t.match(problemsOf('['.repeat(100_000)), [/yaml_syntax nested too deep to be read$/]);
  t.match(problemsOf(`${'{a: '.repeat(150)}1${'}'.repeat(150)}`), [/yaml_too_deep nested deeper than 100 levels$/]);
  t.match(problemsOf('---\n'.repeat(30_000)), [/too_many_documents/]);
  const many = problemsOf(policy(Array.from({ length: 500 }, (_, index) => `k${index}: 1`).join('\n')));
  t.equal(many.length, 101);
  t.match(many[0], /too_many_problems more than 100 problems/);
  t.match(problemsOf(policy('__proto__: {action: DENY}\nrules: [{}]')), [/unknown field __proto__/]);
  t.end();
});

t.test('what is sound becomes canonical documents', (t) => {
  const one = load(`# first\n${policy('rules: [{}]\naction: ALLOW')}`);
  const same = load(`---\n---\n${policy('action:   "ALLOW"\nrules:\n- {}')}`);
  t.same(one.problems, []);
  t.same(one.resources, same.resources, 'order of keys, comments, style and empty documents do not count');
  t.same(one.resources, [
    {
      key: 'AuthorizationPolicy/shop/p',
      version: one.resources[0]?.version,
      document:
        '{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"p","namespace":"shop"},"spec":{"action":"ALLOW","rules":[{}]}}',
    },
  ]);
  t.match(one.resources[0]?.version, /^[0-9a-f]{32}$/);
  const item = policy('rules: [{}]')
    .replace(/^/gm, '  ')
    .replace(/^ {2}a/, '- a');
  t.same(
    load(`apiVersion: v1\nkind: List\nitems:\n${item}`).resources.map(({ key }) => key),
    ['AuthorizationPolicy/shop/p'],
    'the items of a List',
  );
  const fromCluster =
    'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop, uid: x, generation: 2, managedFields: [], labels: {a: b}}\nspec: {rules: [{}]}\nstatus: {conditions: []}\n';
  t.same(load(fromCluster).problems, [], 'what kubectl adds is accepted');
  t.end();
});

t.test('a schema document is put into its APISchema', async (t) => {
  const schema =
    'apiVersion: lateral.dev/v1alpha1\nkind: APISchema\nmetadata: {name: orders, namespace: shop}\nspec: {openapi: {file: ./api/../orders.json}}\n';
  const loaded = load(schema, { 'policies/orders.json': '{"openapi":"3.1.0"}' });
  t.same(loaded.problems, []);
  t.match(loaded.resources[0]?.document, '"spec":{"openapi":{"inline":"{\\"openapi\\":\\"3.1.0\\"}"}}');
  t.same(problemsOf(schema), [
    '4:24: error invalid_value spec.openapi.file: ./api/../orders.json is not a readable file within the policy folder, relative to policies/a.yaml',
  ]);
  t.match(problemsOf(schema.replace('./api/../orders.json', '/etc/passwd'), { '/etc/passwd': 'x' }), [
    /is not a path relative to/,
  ]);
  const { sourced } = load(schema, { 'policies/orders.json': '{\n"openapi": "2.0"}' });
  t.match(await contentProblems(sourced), [{ file: 'policies/orders.json', line: 2, severity: 'error' }]);
  const inline = load(schema.replace('{file: ./api/../orders.json}', '{inline: {openapi: "2.0"}}'));
  t.match((await contentProblems(inline.sourced)).map(formatProblem), [
    /^policies\/a\.yaml:4:\d+: error \w+ line 1, column \d+ of the document: /,
  ]);
  t.same(problemsOf('openapi: 3.0.0\ninfo: {}\npaths: {}\n'), [], 'an API description in YAML is no resource');
});

t.test('what a validation policy says about operations is held against the documents', async (t) => {
  const schema = (name: string, paths: string) =>
    `apiVersion: lateral.dev/v1alpha1\nkind: APISchema\nmetadata: {name: ${name}, namespace: shop}\nspec: {openapi: {inline: {openapi: 3.1.0, info: {title: t, version: v}, paths: ${paths}}}}\n---\n`;
  const operation = (id: string, parameter: string) =>
    `{get: {operationId: ${id}, parameters: [{name: ${parameter}, in: path, required: true, schema: {type: string}}], responses: {"200": {description: ok}}}}`;
  const schemas = `${schema('a', `{"/orders/{id}": ${operation('getOrder', 'id')}}`)}${schema('b', `{"/orders/{key}": ${operation('other', 'key')}}`)}`;
  const contentOf = async (text: string) =>
    (await contentProblems(load(text).sourced)).map((one) => formatProblem(one).replace('policies/a.yaml:', ''));
  const policy = (spec: string) =>
    `apiVersion: lateral.dev/v1alpha1\nkind: APIValidationPolicy\nmetadata: {name: v, namespace: shop}\nspec: ${spec}\n`;
  t.same(await contentOf(`${schemas}${policy('{schemaRefs: [a], overrides: [{operationId: getOrder}]}')}`), []);
  t.same(await contentOf(`${schemas}${policy('{schemaRefs: [a, b]}')}`), [
    '14:24: error duplicate_operation GET /orders/{} is in two documents, a and b',
  ]);
  t.same(await contentOf(`${schemas}${policy('{schemaRefs: [a], overrides: [{operationId: getOder}]}')}`), [
    '14:51: error unknown_reference no operation has the operationId getOder; did you mean getOrder?',
  ]);
});
