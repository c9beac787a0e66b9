import net from 'node:net';
import t from 'tap';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { selectSnapshot } from '#policy/snapshot/select-snapshot.ts';
import { StallWatch } from '#sidecar/exchange/stall-watch.ts';
import { serveInboundTcp } from '#sidecar/inbound/inbound-tcp.ts';
import {
  allowPolicy,
  ControlPlaneFixture,
  eventually,
  SidecarFixture,
} from '../../control-plane/control-plane-fixture.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { readAll } from '../../support/inbound-sidecar.ts';
import { NO_PROVIDERS } from '../../support/no-providers.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { name: 'orders-1', namespace: 'shop', serviceAccount: 'orders', labels: {} };

t.test('a TCP connection that was refused reaches the control plane, with nothing of HTTP', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start();
  t.teardown(() => fixture.stop());
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  await connection.policies.start(async () => {});
  const watch = new StallWatch();
  const policy = await compileWorkloadPolicy(selectSnapshot([], WORKLOAD, MESH), WORKLOAD, MESH, async () => []);
  const server = await listen(
    net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const caller = { address: '127.0.0.1', port: 0, certificate: undefined };
      void serveInboundTcp(
        { socket, caller, firstBytes: Buffer.alloc(0), isOtherProtocol: undefined },
        {
          policy: () => policy,
          app: { address: '127.0.0.1', port: 1 },
          ownIdentity: 'spiffe://cluster.local/ns/shop/sa/orders',
          providers: NO_PROVIDERS,
          watch,
          recorders: [connection.observer],
        },
      );
    }),
  );
  t.teardown(() => {
    server.close();
    watch.close();
  });
  t.equal(await readAll(net.connect(portOf(server), '127.0.0.1')), '');
  const text = async () => (await fixture.status('/decisions')).text();
  await eventually('reported', async () => (await text()).includes('authorization_default_deny'));
  t.match(JSON.parse(await text()), {
    decisions: [
      {
        direction: 'inbound',
        decision: 'deny',
        code: 'authorization_default_deny',
        method: '',
        path: '',
        status: 0,
        source: '',
        destination: 'spiffe://cluster.local/ns/shop/sa/orders',
      },
    ],
    counts: [{ peer: '', decision: 'deny', requests: 1 }],
  });
});
