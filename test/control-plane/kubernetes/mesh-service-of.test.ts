import t from 'tap';
import { clusterPodOf, clusterServiceOf, endpointSliceOf } from '#control-plane/kubernetes/cluster-objects.ts';
import { meshServicesOf } from '#control-plane/kubernetes/mesh-service-of.ts';

/** One Service of namespace shop with ports 80 -> 8080 and 9090 -> 9090, and its pods. */
interface Given {
  readonly name: string;
  readonly address: string;
  readonly annotations?: object;
  /** What the slice says; default the pod's own. */
  readonly sliceAddress?: string;
}

const INJECTED = { 'lateral.dev/injected': '{"version":"1","interception":"redirect"}' };

function servicesOf(pods: readonly Given[]) {
  const metadata = { namespace: 'shop', name: 'orders' };
  const service = clusterServiceOf({
    metadata,
    spec: {
      clusterIPs: ['10.96.0.9'],
      ports: [
        { name: 'http', port: 80 },
        { name: 'http-admin', port: 9090 },
      ],
    },
  });
  const slice = endpointSliceOf({
    metadata: { ...metadata, name: 'orders-1', labels: { 'kubernetes.io/service-name': 'orders' } },
    addressType: 'IPv4',
    ports: [
      { name: 'http', port: 8080 },
      { name: 'http-admin', port: 9090 },
    ],
    endpoints: pods.map(({ name, address, sliceAddress = address }) => ({
      addresses: [sliceAddress],
      targetRef: { kind: 'Pod', name },
    })),
  });
  const known = new Map(
    pods.map(({ name, address, annotations = INJECTED }) => [
      name,
      clusterPodOf({
        metadata: { namespace: 'shop', name, annotations },
        spec: { serviceAccountName: 'orders' },
        status: { phase: 'Running', podIPs: [{ ip: address }] },
      }),
    ]),
  );
  if (service === undefined || slice === undefined) throw new Error('not read');
  const facts = {
    service,
    slices: [slice],
    pod: (_: string, name: string) => known.get(name),
    clusterDomain: 'c.local',
  };
  return meshServicesOf(facts).map(({ document }) => {
    const { metadata, spec } = JSON.parse(document);
    return { name: metadata.name, hosts: spec.hosts, ports: spec.ports, endpoints: spec.endpoints };
  });
}

t.test('a Service is one MeshService, with the ports of its endpoints', async (t) => {
  t.strictSame(servicesOf([{ name: 'a', address: '10.0.0.1' }]), [
    {
      name: 'orders',
      hosts: ['orders', 'orders.shop', 'orders.shop.svc', 'orders.shop.svc.c.local', '10.96.0.9'],
      ports: [
        { name: 'http', port: 80, protocol: 'http' },
        { name: 'http-admin', port: 9090, protocol: 'http' },
      ],
      endpoints: [{ address: '10.0.0.1', port: 8080, ports: { 9090: 9090 }, serviceAccount: 'orders' }],
    },
  ]);
});

t.test('a port that a pod excludes is reached in plaintext, the others are not', async (t) => {
  const annotations = { ...INJECTED, 'lateral.dev/exclude-inbound-ports': '9090, 7000' };
  const services = servicesOf([{ name: 'a', address: '10.0.0.1', annotations }]);
  t.strictSame(
    services.map(({ name, endpoints }) => [name, endpoints]),
    [
      ['orders', [{ address: '10.0.0.1', port: 8080, serviceAccount: 'orders' }]],
      ['orders.9090', [{ address: '10.0.0.1', plaintext: true, port: 9090 }]],
    ],
  );
  t.ok(services[1]?.hosts.includes('orders.shop:9090'));
});

t.test('a pod without a sidecar is plaintext', async (t) => {
  const [service] = servicesOf([{ name: 'a', address: '10.0.0.1', annotations: {} }]);
  t.match(service?.endpoints, [{ address: '10.0.0.1', plaintext: true }]);
});

t.test("an address that is not the pod's own is not taken", async (t) => {
  const [service] = servicesOf([
    { name: 'a', address: '10.0.0.1' },
    { name: 'b', address: '10.0.0.2', sliceAddress: '10.0.9.9' },
  ]);
  t.strictSame(
    service?.endpoints.map(({ address }: { address: string }) => address),
    ['10.0.0.1'],
  );
});
