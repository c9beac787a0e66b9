import type { Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import t, { type Test } from 'tap';
import { CallerProofs } from '#control-plane/grpc/caller-proofs.ts';
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
  const callers = new CallerProofs({
    trustDomain: 'cluster.local',
    trustBundlePem: identity(first, second).trustBundlePem,
    isRevoked: () => undefined,
    log: () => {},
    now: Date.now,
  });
  const listener = await startTlsListener({
    listen: { address: '127.0.0.1', port: 0 },
    limits: grpcGate(),
    identity: identity(first, second),
    callers,
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
  const judged = () => {
    const last = served.at(-1);
    return last === undefined ? undefined : callers.judgementOf(last);
  };
  return { first, second, identity, listener, judged, comes };
}

t.test('where a root is gone, connections that were proven by it end, and others go on', async (t) => {
  const { first, second, identity, listener, judged, comes } = await listening(t);
  const proven = await comes(first.leaf(ORDERS));
  const others = [await comes(second.leaf(ORDERS)), await comes()];
  listener.renew(identity(first, second));
  await comes(first.leaf(ORDERS)); // what was sent before has been dealt with
  t.notOk(proven.destroyed, 'a certificate of our own that is renewed ends nothing');

  listener.renew(identity(second));
  await eventually('who was proven by it ends', () => proven.destroyed);
  await comes(first.leaf(ORDERS));
  t.match(judged(), { kind: 'refused', code: 'untrusted_issuer' });
  await comes(second.leaf(ORDERS));
  t.match(judged(), { kind: 'accepted', peer: { id: { uri: ORDERS } } });
  t.notOk(
    others.some(({ destroyed }) => destroyed),
    'who is proven by another, or by none, is not concerned',
  );

  listener.renew(identity(first, second));
  await comes(first.leaf(ORDERS));
  t.match(judged(), { kind: 'accepted' }, 'and is believed again when it is back');
});

t.test('a root that is added ends nothing', async (t) => {
  const { first, second, identity, listener, comes } = await listening(t);
  const socket = await comes(first.leaf(ORDERS));
  listener.renew(identity(first, second, new TestAuthority()));
  await comes(first.leaf(ORDERS));
  t.notOk(socket.destroyed);
});
