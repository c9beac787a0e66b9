import { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { loadResources } from '#policy/load-resources.ts';
import { selectSnapshot } from '#policy/snapshot/select-snapshot.ts';
import { StallWatch } from '#sidecar/exchange/stall-watch.ts';
import type { VerifiedCertificate } from '#sidecar/http/message.ts';
import { ENDLESS } from '#sidecar/identity/connection-life.ts';
import { AppLanes, MAX_APP_LANES, MAX_UNPROVEN_LANES } from '#sidecar/interception/app-lanes.ts';
import type { OriginalDestination } from '#sidecar/interception/original-destination.ts';
import type { Lane } from '#sidecar/listener/lane.ts';
import { ConnectionRecorder } from '#sidecar/telemetry/connection-recorder.ts';
import { Metrics } from '#sidecar/telemetry/metrics.ts';
import { PlaintextCallers } from '#sidecar/telemetry/plaintext-callers.ts';
import { NO_PROVIDERS } from '../../support/no-providers.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { name: 'server', namespace: 'test', serviceAccount: 'server', labels: {} };
const OWN = 'spiffe://cluster.local/ns/test/sa/server';
const SERVICE = `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: server, namespace: test}
spec:
  hosts: [server]
  ports: [{port: 80, protocol: grpc}, {port: 5432, protocol: tcp}]
  endpoints: [{address: 10.1.0.1, port: 8080, ports: {"5432": 5432}, serviceAccount: server}]
`;

function certificateOf(serviceAccount: string): VerifiedCertificate {
  const identity = spiffeId(MESH.trustDomain, 'test', serviceAccount);
  const peer = {
    id: identity,
    sha256: '',
    serial: '',
    notBeforeMs: 0,
    notAfterMs: 0,
    use: 'client',
    chain: [],
  } as const;
  return { identity, sha256: '', peer, life: ENDLESS };
}

async function openLanes(t: Test) {
  const { resources } = loadResources([{ path: 'a.yaml', text: SERVICE }], () => undefined, MESH);
  const policy = await compileWorkloadPolicy(selectSnapshot(resources, WORKLOAD, MESH), WORKLOAD, MESH, async () => []);
  const watch = new StallWatch();
  const metrics = new Metrics();
  const destinations = new Map<Socket, OriginalDestination>();
  const lanes = new AppLanes({
    shared: {
      policy: () => policy,
      ownIdentity: OWN,
      providers: NO_PROVIDERS,
      sampleRatio: 0,
      watch,
      plaintext: new PlaintextCallers(),
      recorders: [],
    },
    appHost: undefined,
    declared: { '9000': 'http' },
    otherwise: 'auto',
    listenerPort: 15006,
    ownPorts: new Set([15000, 15001, 15006, 15020]),
    read: (socket) => destinations.get(socket),
    isOwnAddress: (address) => address === '10.1.0.1',
    refusals: new ConnectionRecorder(metrics, undefined, [], OWN),
  });
  t.teardown(() => {
    lanes.close();
    watch.close();
  });
  return {
    metrics,
    /** A connection that meant this port. */
    connect(port: number | undefined, address = '10.1.0.1') {
      const socket = new Socket();
      if (port !== undefined) destinations.set(socket, { address, port });
      return { lane: lanes.choose(socket), socket };
    },
    /** A caller sends the first bytes of its TCP on this lane, after a handshake or in plaintext. */
    use(lane: Lane | undefined, certificate?: VerifiedCertificate) {
      const socket = new Socket();
      const caller = { address: '10.9.9.9', port: 1, certificate };
      lane?.onTcp({ socket, caller, firstBytes: Buffer.alloc(0), isOtherProtocol: undefined });
      socket.destroy();
    },
  };
}

t.test('a protocol is declared by annotation, by a service, or found out', async (t) => {
  const { connect } = await openLanes(t);
  t.equal(connect(9000).lane?.protocol, 'http');
  t.equal(connect(8080).lane?.protocol, 'http', 'gRPC is HTTP');
  t.equal(connect(5432).lane?.protocol, 'tcp');
  t.equal(connect(7000).lane?.protocol, 'auto');
  t.equal(connect(7000).lane, connect(7000).lane, 'one lane a port');
});

t.test('a connection that was not redirected, or meant a port of the sidecar, is refused, and counted', async (t) => {
  const { connect, metrics } = await openLanes(t);
  t.equal(connect(undefined).lane, undefined);
  t.equal(connect(15006).lane, undefined);
  t.equal(connect(15000).lane, undefined, 'the admin port, behind an app on loopback');
  t.equal(connect(15001).lane, undefined, 'the outbound port: a caller must not speak as this workload');
  t.match(metrics.print(), /lateral_refusals_total\{direction="inbound",decision="deny",code="not_redirected"\} 4/);
});

t.test('a connection to an address that is not of this pod is refused: the sidecar is no relay', async (t) => {
  const { connect, metrics } = await openLanes(t);
  t.equal(connect(8080, '192.0.2.7').lane, undefined);
  t.match(metrics.print(), /code="not_redirected"\} 1/);
});

t.test(
  'connections of whoever is not authenticated crowd out no lane that is used, and get none refused',
  async (t) => {
    const { connect, use } = await openLanes(t);
    const used = connect(9000).lane;
    use(used, certificateOf('web'));
    const scanned = connect(9001).lane;
    use(scanned);
    for (let index = 0; index < MAX_UNPROVEN_LANES; index++) t.ok(connect(20_000 + index).lane !== undefined);
    t.equal(connect(9000).lane, used);
    t.not(connect(9001).lane, scanned, 'a caller in plaintext has proved nothing');
    t.ok(connect(19_999).lane, 'a further port is served');
  },
);

t.test(
  'lanes that are used are kept up to a limit; ports beyond it are served; one without connections makes room',
  async (t) => {
    const { connect, use } = await openLanes(t);
    const open = Array.from({ length: MAX_APP_LANES }, (_, index) => connect(20_000 + index));
    for (const { lane } of open) use(lane, certificateOf('web'));
    const further = connect(19_999);
    use(further.lane, certificateOf('web'));
    t.ok(further.lane);
    for (let index = 0; index < MAX_UNPROVEN_LANES; index++) connect(40_000 + index);
    t.not(connect(19_999).lane, further.lane, 'it found no room');
    t.equal(connect(20_000).lane, open[0]?.lane);
    open[1]?.socket.destroy();
    await new Promise((resolve) => open[1]?.socket.once('close', resolve));
    const next = connect(19_998).lane;
    use(next, certificateOf('web'));
    for (let index = 0; index < MAX_UNPROVEN_LANES; index++) connect(40_000 + index);
    t.equal(connect(19_998).lane, next);
  },
);
