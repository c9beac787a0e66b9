import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { type ConnectionOptions, createServer, type TLSSocket, connect as tlsConnect } from 'node:tls';
import t, { type Test } from 'tap';
import { grpcGate } from '#control-plane/grpc/grpc-gate.ts';
import type { CrowdLimits } from '#control-plane/listener/connection-crowd.ts';
import { createGateCounts, guardConnections } from '#control-plane/listener/connection-gate.ts';
import { plainAddress } from '#control-plane/listener/plain-address.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { allowPolicy, ControlPlaneFixture, eventually, SidecarFixture } from '../control-plane-fixture.ts';

const PLENTY: CrowdLimits = { total: 1_000, ofAddress: 1_000, whenFull: 'most' };

interface GateTrial {
  readonly timeoutMs?: number;
  readonly isProven?: () => boolean;
  readonly identityOf?: (socket: TLSSocket) => string | undefined;
}

/** A TLS server behind a gate, and clients of any loopback address. */
async function gated(
  t: Test,
  limits: { connections?: CrowdLimits; unproven?: CrowdLimits; ofIdentity?: number },
  { timeoutMs = 60_000, isProven = (): boolean => true, identityOf }: GateTrial = {},
) {
  const leaf = new TestAuthority().leaf('spiffe://cluster.local/ns/shop/sa/orders');
  const server = createServer({ ...leaf, minVersion: 'TLSv1.3' }, (socket) => socket.on('error', () => {}).resume());
  const counts = createGateCounts();
  const events: object[] = [];
  const gate = guardConnections(server, {
    port: 'test',
    limits: { connections: PLENTY, unproven: PLENTY, ...limits },
    counts,
    log: (event, fields) => events.push({ event, fields }),
    isProven,
    timeoutMs,
    ...(identityOf === undefined ? {} : { identityOf }),
  });
  await listen(server);
  const port = portOf(server);
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const tracked = (socket: Socket) => {
    sockets.push(socket.on('error', () => {}));
    return socket;
  };
  /** Connects and says nothing. */
  const silent = async (localAddress: string): Promise<Socket> => {
    const socket = tracked(connect({ port, host: '127.0.0.1', localAddress }));
    await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
    return socket;
  };
  /** Whether a whole handshake got through; the connection stays. */
  const secured = (localAddress: string): Promise<boolean> =>
    new Promise((resolve) => {
      const from: TcpNetConnectOpts & ConnectionOptions = { port, host: '127.0.0.1', localAddress };
      const socket = tlsConnect({ ...from, rejectUnauthorized: false });
      tracked(socket);
      socket.once('secureConnect', () => resolve(true)).once('close', () => resolve(false));
    });
  const count = () => new Promise<number>((resolve) => server.getConnections((_, open) => resolve(open)));
  return { silent, secured, counts, events, gate, server, count };
}

const closed = (sockets: readonly Socket[]) => sockets.filter((socket) => socket.destroyed).length;

t.test('handshakes of one address are bounded, and others get in all the same', async (t) => {
  const { silent, secured, counts, events } = await gated(t, {
    unproven: { total: 100, ofAddress: 3, whenFull: 'most' },
  });
  const waiting = await Promise.all(Array.from({ length: 5 }, () => silent('127.0.0.2')));
  await eventually('two are closed', () => closed(waiting) === 2);
  t.notOk(await secured('127.0.0.2'), 'the address has all it may');
  t.ok(await secured('127.0.0.1'));
  t.equal(counts.refused.unproven, 3);
  t.match(events, [{ event: 'connection_refused', fields: { address: '127.0.0.2', reason: 'unproven' } }]);
  waiting.find((socket) => !socket.destroyed)?.destroy();
  await eventually('a place is free', () => secured('127.0.0.2'));
});

t.test('where all places are taken, the address that has most gives one to an address that has fewer', async (t) => {
  const { silent, secured } = await gated(t, { unproven: { total: 6, ofAddress: 3, whenFull: 'most' } });
  const greedy = await Promise.all(Array.from({ length: 3 }, () => silent('127.0.0.2')));
  const others = await Promise.all(['127.0.0.3', '127.0.0.3', '127.0.0.4'].map(silent));
  t.ok(await secured('127.0.0.1'));
  await eventually('one of the greedy is gone', () => closed(greedy) === 1);
  t.equal(closed(others), 0);
});

t.test('a full house without that rule refuses the newcomer', async (t) => {
  const { secured, counts } = await gated(t, { connections: { total: 2, ofAddress: 2, whenFull: 'newcomer' } });
  t.ok((await secured('127.0.0.2')) && (await secured('127.0.0.2')));
  t.notOk(await secured('127.0.0.1'));
  t.equal(counts.refused.connections, 1);
});

t.test('where all have as many, a newcomer takes a place from nobody', async (t) => {
  const { secured, counts } = await gated(t, { connections: { total: 3, ofAddress: 3, whenFull: 'most' } });
  for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) t.ok(await secured(address));
  t.notOk(await secured('127.0.0.1'));
  t.same(counts.refused, { connections: 1, unproven: 0, identity: 0, slow: 0, displaced: 0 });
});

t.test('addresses that took all places with connections that are proven give one to a newcomer', async (t) => {
  const { secured, counts, count } = await gated(t, { connections: { total: 6, ofAddress: 3, whenFull: 'most' } });
  for (const address of ['127.0.0.2', '127.0.0.3']) {
    for (let one = 0; one < 3; one += 1) t.ok(await secured(address));
  }
  t.ok(await secured('127.0.0.1'));
  t.equal(counts.refused.displaced, 1);
  await eventually('six are left', async () => (await count()) === 6);
});

t.test('an identity has so many connections, and its greediest address gives one to another of its own', async (t) => {
  const identityOf = ({ remoteAddress = '' }: TLSSocket) => (remoteAddress.endsWith('.9') ? 'web' : 'orders');
  const { secured, counts, count } = await gated(t, { ofIdentity: 3 }, { identityOf });
  for (let one = 0; one < 4; one += 1) await secured('127.0.0.2');
  await eventually('one is refused', async () => counts.refused.identity === 1 && (await count()) === 3);
  t.ok(await secured('127.0.0.9'), 'another identity is not concerned');
  t.ok(await secured('127.0.0.3'));
  await eventually('one is displaced', async () => counts.refused.displaced === 1 && (await count()) === 4);
  t.equal(counts.refused.identity, 1);
});

t.test('a handshake that takes too long ends, however its bytes trickle in', async (t) => {
  const { silent, secured, counts } = await gated(t, {}, { timeoutMs: 300 });
  const slow = await silent('127.0.0.1');
  slow.write(Buffer.from([0x16, 3, 1, 0x3f, 0xff])); // a record of 16 KiB, which never is whole
  const trickle = setInterval(() => slow.write(Buffer.from([0])), 20);
  t.teardown(() => clearInterval(trickle));
  await eventually('it is closed', () => slow.destroyed);
  t.equal(counts.refused.slow, 1);
  t.ok(await secured('127.0.0.1'));
});

t.test('what has proven nothing by its handshake stays counted until it ends', async (t) => {
  const unproven: CrowdLimits = { total: 10, ofAddress: 2, whenFull: 'most' };
  const { secured, gate, silent } = await gated(t, { unproven }, { isProven: () => false });
  t.ok((await secured('127.0.0.1')) && (await secured('127.0.0.1')));
  t.notOk(await secured('127.0.0.1'));
  const waiting = await silent('127.0.0.2');
  gate.close();
  await eventually('handshakes end with the gate', () => waiting.destroyed);
});

t.test('an address that floods the gRPC port with handshakes keeps no sidecar out', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start();
  t.teardown(() => fixture.stop());
  const { total, ofAddress } = grpcGate().unproven;
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  let connected = 0;
  for (let attacker = 0; attacker < total / ofAddress; attacker += 1) {
    for (let one = 0; one < ofAddress; one += 1) {
      const from = { port: fixture.port, host: '127.0.0.1', localAddress: `127.0.1.${attacker + 1}` };
      sockets.push(connect(from, () => (connected += 1)).on('error', () => {}));
    }
  }
  await eventually('all places are taken', () => connected === sockets.length, 20_000);
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  await connection.policies.start(async () => {});
  t.ok(connection.credentials.current());
});

t.test('an address reads the same in both families', async (t) => {
  t.equal(plainAddress('::ffff:10.0.0.1'), '10.0.0.1');
  t.equal(plainAddress('[fd00::1]'), 'fd00::1');
  t.equal(plainAddress('::ffff:a00:1'), '::ffff:a00:1');
});
