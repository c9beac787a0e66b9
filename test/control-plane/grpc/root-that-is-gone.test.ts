import { connect as connectTcp, type Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import t, { type Test } from 'tap';
import { grpcGate } from '#control-plane/grpc/grpc-gate.ts';
import { startTlsListener } from '#control-plane/grpc/tls-listener.ts';
import { createGateCounts } from '#control-plane/listener/connection-gate.ts';
import { TestAuthority, type TestLeaf } from '../../support/certificates.ts';
import { eventually } from '../control-plane-fixture.ts';

const CONTROL_PLANE = 'spiffe://cluster.local/ns/lateral-system/sa/control-plane';
const ORDERS = 'spiffe://cluster.local/ns/shop/sa/orders';

/** The listener of the gRPC port, which trusts two roots, and those who come to it. */
async function listening(t: Test) {
  const [first, second] = [new TestAuthority(), new TestAuthority()];
  const { cert, key } = second.leaf(CONTROL_PLANE);
  const identity = (...trusted: TestAuthority[]) => ({
    certificateChainPem: cert,
    privateKeyPem: key,
    trustBundlePem: trusted.map(({ rootPem }) => rootPem).join('\n'),
  });
  const served: TLSSocket[] = [];
  const clients: Socket[] = [];
  const listener = await startTlsListener({
    listen: { address: '127.0.0.1', port: 0 },
    limits: grpcGate(),
    identity: identity(first, second),
    counts: createGateCounts(),
    log: () => {},
    onConnection: (socket) => served.push(socket.resume()),
  });
  t.teardown(() => {
    for (const socket of [...clients, ...served]) socket.destroy();
    listener.close();
  });
  const taken = <One extends Socket>(socket: One): One => {
    clients.push(socket.on('error', () => {}).resume());
    return socket;
  };
  const comes = async (leaf?: TestLeaf): Promise<TLSSocket> => {
    const before = served.length;
    const socket = taken(tlsConnect({ ...leaf, host: '127.0.0.1', port: listener.port, rejectUnauthorized: false }));
    await eventually('it is served', () => served.length > before);
    return socket;
  };
  const begins = () => taken(connectTcp(listener.port, '127.0.0.1'));
  return { first, second, identity, listener, served, comes, begins };
}

t.test('where a root is gone, connections that were proven by its handshake end, and others go on', async (t) => {
  const { first, second, identity, listener, served, comes, begins } = await listening(t);
  const proven = [await comes(first.leaf(ORDERS)), await comes(second.leaf(ORDERS))];
  const unproven = await comes();
  listener.renew(identity(first, second));
  const inHandshake = begins();
  await comes(first.leaf(ORDERS)); // the one before it in the queue is in by then
  t.notOk(
    proven.some(({ destroyed }) => destroyed),
    'a certificate of our own that is renewed ends nothing',
  );

  listener.renew(identity(second));
  await eventually('all that were proven end', () => proven.every(({ destroyed }) => destroyed));
  await eventually('and what might yet be by the former roots', () => inHandshake.destroyed);
  t.notOk(unproven.destroyed, 'who has proven nothing by a root is not concerned');

  await comes(first.leaf(ORDERS));
  t.notOk(served.at(-1)?.authorized, 'the former root proves nothing any more');
  await comes(second.leaf(ORDERS));
  t.ok(served.at(-1)?.authorized);
});

t.test('a root that is added ends nothing', async (t) => {
  const { first, second, identity, listener, comes } = await listening(t);
  const socket = await comes(first.leaf(ORDERS));
  listener.renew(identity(first, second, new TestAuthority()));
  await comes(first.leaf(ORDERS));
  t.notOk(socket.destroyed);
});
