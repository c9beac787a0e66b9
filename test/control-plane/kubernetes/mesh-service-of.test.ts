import t from 'tap';
import { clusterPodOf, clusterServiceOf, endpointSliceOf } from '#control-plane/kubernetes/cluster/cluster-objects.ts';
import { meshServicesOf } from '#control-plane/kubernetes/cluster/mesh-service-of.ts';
import { portProtocol } from '#control-plane/kubernetes/cluster/port-protocol.ts';
import { readDocuments } from '#policy/snapshot/read-documents.ts';
import { MESH } from '../control-plane-fixture.ts';

type Fields = { readonly [field: string]: unknown };

const PODS: { readonly [name: string]: Fields } = {
  meshed: { annotations: { 'lateral.dev/injected': '{"interception":"redirect","inbound":{}}' } },
  proxied: { annotations: { 'lateral.dev/injected': '{"interception":"none","inbound":{"8080":15100}}' } },
  plain: {},
};

function made(spec: Fields, slices: readonly Fields[], podSpec: Fields = {}, pods = PODS) {
  const service = clusterServiceOf({ metadata: { name: 'orders', namespace: 'shop' }, spec });
  if (service === undefined) throw new Error('no service');
  const documents = meshServicesOf({
    service,
    slices: slices.flatMap(
      (slice, index) => endpointSliceOf({ metadata: { name: `s${index}`, namespace: 'shop' }, ...slice }) ?? [],
    ),
    pod: (namespace, name) => {
      const metadata = pods[name];
      if (metadata === undefined) return undefined;
      return clusterPodOf({
        metadata: { name, namespace, ...metadata },
        spec: { serviceAccountName: name, ...podSpec },
        status: { podIPs: ['10.0.0.1', '10.0.0.2', '10.0.0.5', 'fd00::1'].map((ip) => ({ ip })) },
      });
    },
    isService: (namespace, name) => namespace === 'shop' && name === 'other',
    clusterDomain: 'cluster.local',
  });
  readDocuments(documents, MESH); // throws where the reader of every sidecar would
  return documents.map(({ document }) => JSON.parse(document));
}

const endpoint = (address: string, pod?: string, more: Fields = {}) => ({
  addresses: [address],
  ...(pod === undefined ? {} : { targetRef: { kind: 'Pod', name: pod } }),
  ...more,
});
const slice = (endpoints: readonly Fields[], ports: readonly Fields[] = [{ name: 'http', port: 8080 }]) => ({
  addressType: 'IPv4',
  ports,
  endpoints,
});
const TWO_LISTENERS = '{"interception":"none","inbound":{"8080":15100,"9090":15101}}';

t.test('where connections are not redirected, the ports of the app are told beside those of the sidecar', async (t) => {
  const pod = { annotations: { 'lateral.dev/injected': TWO_LISTENERS } };
  const ports = [
    { name: 'http', port: 80 },
    { name: 'admin', port: 81 },
  ];
  const [service] = made(
    { clusterIPs: ['10.96.0.1'], ports },
    [
      slice(
        [endpoint('10.0.0.2', 'listening')],
        [
          { name: 'http', port: 8080 },
          { name: 'admin', port: 9090 },
        ],
      ),
    ],
    {},
    { listening: pod },
  );
  const own = { port: 15100, ports: { 81: 15101 }, appPort: 8080, appPorts: { 81: 9090 } };
  t.strictSame(service.spec.endpoints, [{ address: '10.0.0.2', ...own, serviceAccount: 'listening' }]);
});

const ONE_PORT = { clusterIPs: ['10.96.0.1'], ports: [{ name: 'http', port: 80 }] };

t.test(
  'endpoints with a sidecar are of the mesh, all others are plaintext, and a pod unknown as yet is neither',
  async (t) => {
    const [service] = made(ONE_PORT, [
      slice([
        endpoint('10.0.0.1', 'meshed'),
        endpoint('10.0.0.2', 'plain'),
        endpoint('10.0.0.3'),
        endpoint('10.0.0.4', 'not-heard-of-yet'),
        endpoint('10.0.0.5', 'meshed', { conditions: { ready: false } }),
      ]),
    ]);
    t.strictSame(service.spec.endpoints, [
      { address: '10.0.0.1', port: 8080, serviceAccount: 'meshed' },
      { address: '10.0.0.2', plaintext: true, port: 8080 },
      { address: '10.0.0.3', plaintext: true, port: 8080 },
    ]);
    t.strictSame(service.spec.hosts, [
      'orders',
      'orders.shop',
      'orders.shop.svc',
      'orders.shop.svc.cluster.local',
      '10.96.0.1',
    ]);
  },
);

t.test('a pod in the network of its host has no redirection of its own', async (t) => {
  const [service] = made(ONE_PORT, [slice([endpoint('10.0.0.1', 'meshed')])], { hostNetwork: true });
  t.match(service.spec.endpoints, [{ plaintext: true, port: 8080 }]);
});

t.test('named ports may differ by pod; without redirection each has a listener or is not reached', async (t) => {
  const ports = [
    { name: 'http', port: 80 },
    { name: 'grpc-api', port: 90 },
  ];
  const services = made({ clusterIPs: ['10.96.0.1'], ports }, [
    slice(
      [endpoint('10.0.0.1', 'meshed')],
      [
        { name: 'http', port: 8080 },
        { name: 'grpc-api', port: 9090 },
      ],
    ),
    slice(
      [endpoint('10.0.0.2', 'proxied')],
      [
        { name: 'http', port: 8080 },
        { name: 'grpc-api', port: 9091 },
      ],
    ),
  ]);
  t.match(services, [
    {
      metadata: { name: 'orders' },
      spec: {
        ports: [{ port: 80, protocol: 'http' }],
        endpoints: [
          { address: '10.0.0.1', port: 8080 },
          { address: '10.0.0.2', port: 15100 },
        ],
      },
    },
    {
      metadata: { name: 'orders.90' },
      spec: {
        hosts: [
          'orders:90',
          'orders.shop:90',
          'orders.shop.svc:90',
          'orders.shop.svc.cluster.local:90',
          '10.96.0.1:90',
        ],
        ports: [{ port: 90, protocol: 'grpc' }],
        endpoints: [{ address: '10.0.0.1', port: 9090 }],
      },
    },
  ]);
});

t.test('all ports at all endpoints are one service, with `ports` where they differ', async (t) => {
  const ports = [
    { name: 'http', port: 80 },
    { name: 'admin', port: 81 },
  ];
  const [service, ...others] = made({ clusterIPs: ['None'], ports }, [
    slice(
      [endpoint('10.0.0.1', 'meshed', { hostname: 'orders-0' })],
      [
        { name: 'http', port: 8080 },
        { name: 'admin', port: 9000 },
      ],
    ),
  ]);
  t.strictSame(others, []);
  t.strictSame(service.spec.endpoints, [
    { address: '10.0.0.1', port: 8080, ports: { 81: 9000 }, hostname: 'orders-0', serviceAccount: 'meshed' },
  ]);
  t.equal(service.spec.hosts.length, 4, 'a headless service has no address');
});

t.test('of a pod with two addresses one is taken, of the family that the service has first', async (t) => {
  const both = [
    slice([endpoint('10.0.0.1', 'meshed')]),
    { ...slice([endpoint('fd00::1', 'meshed')]), addressType: 'IPv6' },
  ];
  for (const [family, address] of [
    ['IPv4', '10.0.0.1'],
    ['IPv6', 'fd00::1'],
  ]) {
    const [service] = made({ ...ONE_PORT, ipFamilies: [family] }, both);
    t.strictSame(
      service.spec.endpoints.map((one: { address: string }) => one.address),
      [address],
    );
  }
});

t.test(
  'ExternalName: a name outside is plaintext, an alias within the cluster is left to the Service itself',
  async (t) => {
    t.match(made({ type: 'ExternalName', externalName: 'api.example.com', ports: [{ name: 'http', port: 80 }] }, []), [
      { spec: { endpoints: [{ address: 'api.example.com', port: 80, plaintext: true }] } },
    ]);
    t.strictSame(made({ type: 'ExternalName', externalName: 'other.shop.svc.cluster.local' }, []), []);
    t.strictSame(made({ type: 'ExternalName', externalName: 'other.shop' }, []), [], 'by its short name too');
    t.equal(made({ type: 'ExternalName', externalName: 'example.com' }, []).length, 1, 'two labels alone say nothing');
  },
);

t.test('what is no port is none, wherever it stands', async (t) => {
  for (const port of [0, -1, 70_000, 1.5]) {
    const [service] = made(ONE_PORT, [slice([endpoint('10.0.0.1', 'meshed')], [{ name: 'http', port }])]);
    t.strictSame(service.spec.endpoints, [], `a slice of port ${port}`);
    const injected = (annotations: Fields) => clusterPodOf({ metadata: { name: 'p', namespace: 'shop', annotations } });
    const pod = injected({ 'lateral.dev/injected': JSON.stringify({ interception: 'none', inbound: { 8080: port } }) });
    t.strictSame(pod?.injected, { interception: 'none', excludedPorts: [], inbound: {} }, `an inbound port ${port}`);
  }
});

t.test('a Service of many ports is as many MeshServices as their hosts take', async (t) => {
  const ports = Array.from({ length: 150 }, (_, index) => ({ name: `p${index}`, port: 1000 + index }));
  const services = made({ clusterIPs: ['10.96.0.1', 'fd00::9'], ports }, [
    slice([endpoint('10.0.0.1', 'meshed')], [{ name: 'p0', port: 8080 }]),
  ]);
  t.strictSame(
    services.map(({ metadata, spec }) => [metadata.name, spec.ports.length]),
    [
      ['orders', 1],
      ['orders.1001', 42],
      ['orders.1043', 42],
      ['orders.1085', 42],
      ['orders.1127', 23],
    ],
  );
  t.equal(new Set(services.slice(1).flatMap(({ spec }) => spec.hosts)).size, 149 * 6);
});

t.test('no TCP port: nothing to the mesh', async (t) => {
  t.strictSame(made({ clusterIPs: ['10.96.0.1'], ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] }, []), []);
});

t.test('protocols by appProtocol, then by the prefix of the name, as in Istio', async (t) => {
  const cases = [
    ['', 'http-api', 'http'],
    ['', 'http2', 'http'],
    ['', 'grpc', 'grpc'],
    ['', 'grpc-web', 'http'],
    ['', 'https-api', 'tcp'],
    ['', 'tls', 'tcp'],
    ['', 'tcp-db', 'tcp'],
    ['', 'httpish', 'auto'],
    ['constructor', 'toString', 'auto'],
    ['', '', 'auto'],
    ['grpc', 'http-api', 'grpc'],
    ['kubernetes.io/h2c', 'x', 'http'],
    ['example.com/own', 'tcp-x', 'tcp'],
  ] as const;
  for (const [appProtocol, name, wanted] of cases) {
    t.equal(portProtocol({ appProtocol, name }), wanted, `${appProtocol} ${name}`);
  }
});
