import t from 'tap';
import { loadResources } from '#policy/load-resources.ts';
import { compileServices } from '#policy/mesh/compile-services.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const TEXT = `
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: payments, namespace: shop}
spec:
  hosts: [payments, Payments.Shop, payments.shop.svc.cluster.local, "127.0.0.1:25001", "[::1]:25001", "::2"]
  ports: [{port: 80}, {port: 8080, protocol: grpc}]
  endpoints: [{address: 127.0.0.1, port: 25006, serviceAccount: payments, labels: {version: v1}}]
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: payments, namespace: billing}
spec: {hosts: [payments, pay.example.com]}
`;
const { sourced, problems } = loadResources([{ path: 'a.yaml', text: TEXT }], () => undefined, MESH);
const services = sourced.flatMap(({ any }) => (any.type === 'MeshService' ? [any.resource] : []));

function resolvedFrom(namespace: string, authority: string): string | undefined {
  const service = compileServices(services, { namespace }, MESH).resolve(authority);
  return service === undefined ? undefined : `${service.namespace}/${service.name}`;
}

t.same(problems, []);

t.test('a host is found with its port first, then without it, whatever its case', (t) => {
  const found = [
    'payments',
    'PAYMENTS',
    'payments:80',
    'payments:8080',
    'payments.shop',
    'payments.SHOP.svc.cluster.local:80',
    '127.0.0.1:25001',
    '[::1]:25001',
    '[::2]',
    '[::2]:8080',
    'payments:',
    'payments.shop.',
  ];
  for (const authority of found) t.equal(resolvedFrom('shop', authority), 'shop/payments', authority);
  const unknown = [
    'payments:81',
    'orders',
    '127.0.0.1',
    '127.0.0.1:25002',
    '[::1]',
    '',
    ':80',
    'payments:x',
    'payments:0',
    'payments.billing',
  ];
  for (const authority of unknown) t.equal(resolvedFrom('shop', authority), undefined, JSON.stringify(authority));
  t.end();
});

t.test("a bare name is one of the caller's own namespace", (t) => {
  t.equal(resolvedFrom('billing', 'payments'), 'billing/payments');
  t.equal(resolvedFrom('other', 'payments'), undefined);
  t.equal(resolvedFrom('other', 'payments.shop'), 'shop/payments');
  t.end();
});

t.test('a service without ports is reached at any', (t) => {
  t.equal(resolvedFrom('shop', 'pay.example.com:9999'), 'billing/payments');
  t.end();
});

t.test('an endpoint has the identity that its certificate must prove', (t) => {
  const shop = compileServices(services, { namespace: 'shop' }, MESH).resolve('payments');
  t.match(shop?.endpoints, [
    {
      address: '127.0.0.1',
      port: 25006,
      identity: { uri: 'spiffe://cluster.local/ns/shop/sa/payments' },
      labels: { version: 'v1' },
    },
  ]);
  t.end();
});

t.test('an endpoint of another trust domain has the identity that is named in full', (t) => {
  const text = `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: partner, namespace: shop}
spec:
  hosts: [api.partner.example]
  endpoints:
  - {address: 192.0.2.1, port: 15006, spiffeId: "spiffe://partner.example/ns/sales/sa/api"}
  - {address: 10.0.0.1, port: 15006, serviceAccount: api}
`;
  const loaded = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  t.same(loaded.problems, []);
  const read = loaded.sourced.flatMap(({ any }) => (any.type === 'MeshService' ? [any.resource] : []));
  t.match(compileServices(read, { namespace: 'shop' }, MESH).resolve('api.partner.example')?.endpoints, [
    {
      identity: { uri: 'spiffe://partner.example/ns/sales/sa/api', trustDomain: 'partner.example', namespace: 'sales' },
    },
    { identity: { uri: 'spiffe://cluster.local/ns/shop/sa/api', trustDomain: 'cluster.local' } },
  ]);
  t.end();
});

t.test('a host claimed twice goes to the first by namespace and name', (t) => {
  const [first] = services;
  if (first === undefined) throw new Error('no service');
  const rivals = [{ ...first, name: 'z' }, { ...first, namespace: 'aaa', name: 'y' }, first];
  const registry = compileServices(rivals, { namespace: 'shop' }, MESH);
  t.match(registry.resolve('payments.shop'), { namespace: 'aaa', name: 'y' });
  t.match(registry.resolve('payments'), { namespace: 'shop', name: 'payments' });
  t.end();
});

const CLUSTER = loadResources(
  [
    {
      path: 'cluster.yaml',
      text: `
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: db, namespace: shop}
spec:
  hosts: [db, db.shop, db.shop.svc.cluster.local, 10.96.0.9, "FD00:0::9"]
  ports: [{port: 80, protocol: auto}, {port: 5432, protocol: tcp}, {port: 9090, protocol: grpc}]
  endpoints:
    - {address: 10.1.0.1, port: 8080, ports: {"5432": 15432, "9090": 9000}, serviceAccount: db, hostname: db-0}
    - {address: 10.1.0.2, port: 8080, ports: {"5432": 5432, "9090": 9000}, serviceAccount: db, hostname: db-1}
    - {address: "fd00:1:0::2", port: 8080, serviceAccount: db, hostname: db-1}
    - {address: 10.1.0.3, port: 8080, plaintext: true}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: db-http, namespace: shop}
spec:
  hosts: [db-http]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 10.1.0.1, port: 8080, serviceAccount: db}]
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: aaa, namespace: elsewhere}
spec:
  hosts: [aaa]
  ports: [{port: 80, protocol: tcp}]
  endpoints: [{address: 10.1.0.1, port: 8080, plaintext: true}]
`,
    },
  ],
  () => undefined,
  MESH,
);
const clusterServices = CLUSTER.sourced.flatMap(({ any }) => (any.type === 'MeshService' ? [any.resource] : []));
const cluster = compileServices(clusterServices, { namespace: 'shop' }, MESH);
t.same(CLUSTER.problems, []);

function places(service: ReturnType<typeof cluster.resolve>): readonly string[] | undefined {
  return service?.endpoints.map(({ address, port, identity }) => `${address} ${port} ${identity?.serviceAccount}`);
}

t.test('each port of a service has its own protocol, and endpoints with their port for it', (t) => {
  t.match(cluster.resolve('db'), { name: 'db', protocol: 'auto' });
  t.match(cluster.resolve('db:5432'), { name: 'db', protocol: 'tcp' });
  const postgres = ['10.1.0.1 15432 db', '10.1.0.2 5432 db', 'fd00:1:0::2 8080 db', '10.1.0.3 8080 undefined'];
  t.same(places(cluster.resolve('db:5432')), postgres);
  t.equal(cluster.resolve('db'), cluster.resolve('db'), 'compiled once');
  t.end();
});

t.test('HOSTNAME.HOST is the endpoints of that hostname alone', (t) => {
  const found = { 'db-0.db': 'db-0', 'DB-0.db.shop.svc.cluster.local:80': 'db-0', 'db-0.db.shop.': 'db-0' };
  for (const authority of Object.keys(found)) t.same(places(cluster.resolve(authority)), ['10.1.0.1 8080 db']);
  t.same(places(cluster.resolve('db-1.db.shop')), ['10.1.0.2 8080 db', 'fd00:1:0::2 8080 db']);
  for (const authority of ['db-2.db', 'db-0.db:81', '.db', 'db-0.10.96.0.9', 'x.db-0.db']) {
    t.equal(cluster.resolve(authority), undefined, authority);
  }
  t.end();
});

t.test('a connection is found by an address of the service, with its ports', (t) => {
  t.match(cluster.resolveAddress('10.96.0.9', 5432), { name: 'db', protocol: 'tcp' });
  t.equal(cluster.resolveAddress('10.96.0.9', 5432)?.endpoints.length, 4);
  t.equal(cluster.resolveAddress('fd00::9', 80)?.name, 'db', 'whichever way it is spelled');
  t.equal(cluster.resolve('[fd00::0:9]')?.name, 'db');
  t.equal(cluster.resolveAddress('10.96.0.9', 81), undefined);
  t.equal(cluster.resolveAddress('10.96.0.10', 80), undefined);
  t.end();
});

t.test('a connection to an endpoint is found by its own address and port, and goes to it alone', (t) => {
  t.same(places(cluster.resolveAddress('10.1.0.1', 15432)), ['10.1.0.1 15432 db']);
  t.equal(cluster.resolveAddress('10.1.0.1', 15432)?.protocol, 'tcp');
  t.same(places(cluster.resolveAddress('10.1.0.2', 5432)), ['10.1.0.2 5432 db']);
  t.same(places(cluster.resolveAddress('fd00:1::2', 8080)), ['fd00:1:0::2 8080 db']);
  t.equal(cluster.resolveAddress('10.1.0.1', 5432), undefined, 'the port of the service is another there');
  t.equal(cluster.resolveAddress('10.1.0.1', 1), undefined);
  t.end();
});

t.test('where one service calls an endpoint plaintext and another does not, it is of the mesh', (t) => {
  t.same(places(cluster.resolveAddress('10.1.0.1', 8080)), ['10.1.0.1 8080 db']);
  t.same(places(cluster.resolveAddress('10.1.0.3', 8080)), ['10.1.0.3 8080 undefined']);
  t.end();
});

t.test('what an app speaks is said by the services of its own namespace, a declared protocol before auto', (t) => {
  t.equal(cluster.protocolOf('10.1.0.1', 15432), 'tcp');
  t.equal(cluster.protocolOf('10.1.0.1', 8080), 'http');
  t.equal(cluster.protocolOf('10.1.0.2', 8080), 'auto');
  t.equal(cluster.protocolOf('10.1.0.2', 1), undefined);
  const foreign = compileServices(clusterServices, { namespace: 'other' }, MESH);
  t.equal(foreign.protocolOf('10.1.0.1', 8080), undefined);
  t.end();
});

t.test('an endpoint is reached by mutual TLS or in plaintext, and its ports are those of the service', (t) => {
  const wrong = (endpoint: string, ports = '') =>
    loadResources(
      [
        {
          path: 'a.yaml',
          text: `
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: a, namespace: shop}
spec: {hosts: [a], ${ports} endpoints: [{address: 10.1.0.1, port: 80, ${endpoint}}]}
`,
        },
      ],
      () => undefined,
      MESH,
    ).problems.map(({ message }) => message);
  t.match(wrong('labels: {}'), [/missing field serviceAccount \(or plaintext: true/]);
  t.match(wrong('plaintext: true, serviceAccount: a'), [/serviceAccount cannot be set together with plaintext/]);
  t.match(wrong('serviceAccount: a, ports: {"81": 8081}'), [/has no port 81; spec\.ports: none/]);
  t.match(wrong('serviceAccount: a, ports: {"81": 8081}', 'ports: [{port: 80}],'), [/no port 81; spec\.ports: 80/]);
  t.match(wrong('serviceAccount: a, ports: {"x": 8081}'), [/x is not a port/]);
  t.match(wrong('serviceAccount: a, hostname: A.b'), [/not an RFC 1123 label/]);
  t.same(wrong('serviceAccount: a, ports: {"81": 8081}', 'ports: [{port: 81}],'), []);
  const foreign = 'spiffeId: "spiffe://partner.example/ns/x/sa/y"';
  t.same(wrong(foreign), []);
  t.match(wrong(`${foreign}, serviceAccount: a`), [/spiffeId cannot be set together with serviceAccount/]);
  t.match(wrong(`${foreign}, plaintext: true`), [/spiffeId cannot be set together with plaintext/]);
  t.match(wrong('spiffeId: "spiffe://cluster.local/ns/x/sa/y"'), [/mesh's own trust domain; use serviceAccount/]);
  t.match(wrong('spiffeId: "spiffe://Partner.example/ns/x/sa/y"'), [/character other than a-z/]);
  t.match(wrong('spiffeId: "spiffe://partner.example/spire/server"'), [/not of the form \/ns\/NAMESPACE/]);
  t.end();
});

t.test('hosts of other namespaces do not go before HOSTNAME.HOST of a bare name of the own', (t) => {
  const text = `
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: db, namespace: shop}
spec: {hosts: [db], endpoints: [{address: 10.0.0.5, port: 80, hostname: db-0, serviceAccount: db}]}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: thief, namespace: evil}
spec: {hosts: [db-0.db, "db-1.db:80"], endpoints: [{address: 10.0.6.6, port: 80, serviceAccount: thief}]}
`;
  const loaded = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  t.same(loaded.problems, []);
  const both = loaded.sourced.flatMap(({ any }) => (any.type === 'MeshService' ? [any.resource] : []));
  const resolve = (namespace: string, host: string) => compileServices(both, { namespace }, MESH).resolve(host)?.name;
  t.equal(resolve('shop', 'db-0.db'), 'db');
  t.equal(resolve('shop', 'db-1.db'), undefined, 'an endpoint that is away');
  t.equal(resolve('evil', 'db-0.db'), 'thief');
  t.end();
});
