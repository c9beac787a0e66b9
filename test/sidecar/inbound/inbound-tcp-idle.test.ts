import net from 'node:net';
import t from 'tap';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { loadResources } from '#policy/load-resources.ts';
import { selectSnapshot } from '#policy/snapshot/select-snapshot.ts';
import { STALL_LIMITS_MS, StallWatch } from '#sidecar/exchange/stall-watch.ts';
import { serveInboundTcp } from '#sidecar/inbound/inbound-tcp.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { ALLOW_ANYBODY, readAll, until } from '../../support/inbound-sidecar.ts';
import { NO_PROVIDERS } from '../../support/no-providers.ts';
import { tcpApp } from '../../support/tcp-app.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { name: 'server', namespace: 'test', serviceAccount: 'server', labels: {} };
const LIMIT_MS = 400;

t.test('a connection on which nobody says anything ends; one on which somebody does goes on', async (t) => {
  const app = await tcpApp(t, (socket) => socket.pipe(socket));
  const { resources } = loadResources([{ path: 'a.yaml', text: ALLOW_ANYBODY }], () => undefined, MESH);
  const policy = await compileWorkloadPolicy(selectSnapshot(resources, WORKLOAD, MESH), WORKLOAD, MESH, async () => []);
  const watch = new StallWatch({ ...STALL_LIMITS_MS, tcp: LIMIT_MS }, 50);
  const ended: { code: string; bytesIn: number }[] = [];
  const inbound = {
    policy: () => policy,
    app: { address: '127.0.0.1', port: app.port },
    ownIdentity: 'spiffe://cluster.local/ns/test/sa/server',
    providers: NO_PROVIDERS,
    watch,
    recorders: [
      { record() {}, recordTcp: ({ code, bytesIn }: (typeof ended)[number]) => ended.push({ code, bytesIn }) },
    ],
  };
  const server = await listen(
    net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const caller = { address: '127.0.0.1', port: 0, certificate: undefined };
      void serveInboundTcp({ socket, caller, firstBytes: Buffer.alloc(0), isOtherProtocol: undefined }, inbound);
    }),
  );
  t.teardown(() => {
    server.close();
    watch.close();
  });
  const silent = net.connect(portOf(server), '127.0.0.1');
  const talking = net.connect(portOf(server), '127.0.0.1');
  const silentEnded = readAll(silent);
  let repeated = 0;
  talking.on('data', (bytes) => {
    repeated += bytes.length;
  });
  const talk = setInterval(() => talking.write('x'), LIMIT_MS / 8);
  await silentEnded;
  t.strictSame(ended, [{ code: 'idle_timeout', bytesIn: 0 }]);
  await until(() => repeated >= 16);
  clearInterval(talk);
  t.ok(repeated >= 16, 'twice the limit later');
  talking.end();
  await until(() => ended.length === 2);
  t.match(ended[1], { code: 'allowed' });
  t.equal(watch.size, 0);
});
