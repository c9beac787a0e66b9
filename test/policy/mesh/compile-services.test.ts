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
  const [, shop] = compileServices(services, { namespace: 'shop' }, MESH).services;
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

t.test('a host claimed twice goes to the first by namespace and name', (t) => {
  const [first] = services;
  if (first === undefined) throw new Error('no service');
  const rivals = [{ ...first, name: 'z' }, { ...first, namespace: 'aaa', name: 'y' }, first];
  const registry = compileServices(rivals, { namespace: 'shop' }, MESH);
  t.match(registry.resolve('payments.shop'), { namespace: 'aaa', name: 'y' });
  t.match(registry.resolve('payments'), { namespace: 'shop', name: 'payments' });
  t.end();
});
