import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import t, { type Test } from 'tap';
import { CallerProofs } from '#control-plane/grpc/caller-proofs.ts';
import { grpcGate } from '#control-plane/grpc/grpc-gate.ts';
import { startTlsListener } from '#control-plane/grpc/tls-listener.ts';
import { createGateCounts, type GateLimits } from '#control-plane/listener/connection-gate.ts';
import { TestAuthority, type TestLeaf } from '../../support/certificates.ts';
import { eventually } from '../control-plane-fixture.ts';

/** The listener of the gRPC port, and clients that prove an identity to it. */
async function listening(t: Test, limits: GateLimits) {
  const authority = new TestAuthority();
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/lateral-system/sa/control-plane');
  const counts = createGateCounts();
  const sockets: { destroy(): void }[] = [];
  let begun = 0;
  const listener = await startTlsListener({
    listen: { address: '127.0.0.1', port: 0 },
    limits,
    identity: { certificateChainPem: cert, privateKeyPem: key, trustBundlePem: authority.rootPem },
    callers: new CallerProofs({
      trustDomain: 'cluster.local',
      trustBundlePem: authority.rootPem,
      isRevoked: () => undefined,
      log: () => {},
      now: Date.now,
    }),
    counts,
    log: () => {},
    onConnection(socket) {
      begun += 1;
      sockets.push(socket.resume());
    },
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const comes = (leaf: TestLeaf): TLSSocket => {
    const socket = tlsConnect({ ...leaf, host: '127.0.0.1', port: listener.port, rejectUnauthorized: false });
    sockets.push(socket.on('error', () => {}).resume());
    return socket;
  };
  const leafOf = (serviceAccount: string, by = authority) =>
    by.leaf(`spiffe://cluster.local/ns/shop/sa/${serviceAccount}`);
  return { comes, leafOf, counts, begun: () => begun };
}

t.test('an identity has so many connections, whichever of its certificates proves it', async (t) => {
  const { comes, leafOf, counts, begun } = await listening(t, { ...grpcGate(), ofIdentity: 2 });
  for (let one = 0; one < 2; one += 1) comes(leafOf('orders'));
  await eventually('both are served', () => begun() === 2);
  const third = comes(leafOf('orders'));
  await eventually('the third is closed', () => third.destroyed);
  t.equal(begun(), 2, 'and never got to gRPC');
  t.equal(counts.refused.identity, 1);
  comes(leafOf('web'));
  await eventually('another identity is not concerned', () => begun() === 3);
});

t.test('who proves no identity takes no place of one', async (t) => {
  const { comes, leafOf, counts, begun } = await listening(t, { ...grpcGate(), ofIdentity: 1 });
  const stranger = leafOf('orders', new TestAuthority());
  for (let one = 0; one < 3; one += 1) comes(stranger);
  await eventually('all may ask for a certificate', () => begun() === 3);
  comes(leafOf('orders'));
  await eventually('the place is free', () => begun() === 4);
  t.equal(counts.refused.identity, 0);
});

t.test('an address has as many connections as are configured', async (t) => {
  const { comes, leafOf, counts, begun } = await listening(t, grpcGate(2));
  const leaf = leafOf('orders');
  for (let one = 0; one < 2; one += 1) comes(leaf);
  await eventually('both are served', () => begun() === 2);
  const third = comes(leaf);
  await eventually('the third is closed', () => third.destroyed);
  t.equal(counts.refused.connections, 1);
});
