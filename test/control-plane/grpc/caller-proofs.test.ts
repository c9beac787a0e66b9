import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import t, { type Test } from 'tap';
import { CallerProofs } from '#control-plane/grpc/caller-proofs.ts';
import { grpcGate } from '#control-plane/grpc/grpc-gate.ts';
import { CallRefusal } from '#control-plane/grpc/refuse-call.ts';
import { startTlsListener } from '#control-plane/grpc/tls-listener.ts';
import { createGateCounts } from '#control-plane/listener/connection-gate.ts';
import { TestAuthority, type TestLeaf } from '../../support/certificates.ts';
import { freePorts } from '../../support/free-ports.ts';
import { eventually } from '../control-plane-fixture.ts';

const id = (serviceAccount: string, trustDomain = 'cluster.local') =>
  `spiffe://${trustDomain}/ns/shop/sa/${serviceAccount}`;

/** The gRPC port on all addresses of the machine, and who calls there. */
async function listening(t: Test, aliases: readonly string[] = []) {
  const authority = new TestAuthority();
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/lateral-system/sa/control-plane');
  let revoked = '';
  const callers = new CallerProofs({
    trustDomain: 'cluster.local',
    aliases,
    trustBundlePem: authority.rootPem,
    isRevoked: (uri) => (uri === revoked ? 'it is revoked' : undefined),
    log: () => {},
    now: Date.now,
  });
  const served: TLSSocket[] = [];
  const clients: Socket[] = [];
  const listener = await startTlsListener({
    listen: { address: '0.0.0.0', port: 0 },
    limits: grpcGate(),
    identity: { certificateChainPem: cert, privateKeyPem: key, trustBundlePem: authority.rootPem },
    callers,
    counts: createGateCounts(),
    log: () => {},
    onConnection: (socket) => served.push(socket.resume()),
  });
  t.teardown(() => {
    for (const socket of [...clients, ...served]) socket.destroy();
    listener.close();
  });
  /** Resolves to whom a call on the connection is of; as gRPC hands it on. */
  const comes = async (leaf: TestLeaf | undefined, host = '127.0.0.1', localPort?: number) => {
    const place = localPort === undefined ? {} : { localAddress: '127.0.0.1', localPort };
    const below = connectTcp({ host, port: listener.port, ...place });
    clients.push(below);
    await once(below, 'connect');
    const before = served.length;
    const socket = tlsConnect({ ...leaf, socket: below, ALPNProtocols: ['h2'], rejectUnauthorized: false });
    socket.on('error', () => {});
    await eventually('it is served', () => served.length > before);
    const server = served.at(-1);
    const getAuthContext = () =>
      server?.authorized === true
        ? { transportSecurityType: 'ssl', sslPeerCertificate: server.getPeerCertificate() }
        : {};
    return () => callers.of({ getAuthContext })?.identity.uri;
  };
  const revoke = (uri: string) => {
    revoked = uri;
    callers.endRevoked();
  };
  return { authority, callers, served, comes, revoke };
}

/** The code by which the calls of a connection are refused. */
function codeOf(caller: () => string | undefined): string | undefined {
  try {
    caller();
    return undefined;
  } catch (error) {
    return error instanceof CallRefusal ? error.refusalCode : String(error);
  }
}

t.test('each connection proves its own caller, also where two come from one address and port', async (t) => {
  const { authority, comes } = await listening(t);
  const [localPort = 0] = await freePorts(1);
  const evil = await comes(authority.leaf(id('evil')), '127.0.0.2', localPort);
  t.equal(evil(), id('evil'));
  const payments = await comes(authority.leaf(id('payments')), '127.0.0.1', localPort);
  t.equal(payments(), id('payments'));
  t.equal(evil(), id('evil'), 'and whoever came later changes nothing for who was there');
  const nobody = await comes(undefined, '127.0.0.3', localPort);
  t.equal(nobody(), undefined);
});

t.test(
  'a certificate that is refused refuses each call by its code, and is asked about anew when that changes',
  async (t) => {
    const { authority, comes, revoke } = await listening(t);
    const foreign = await comes(new TestAuthority().leaf(id('orders')));
    t.equal(codeOf(foreign), 'untrusted_issuer');
    revoke(id('orders'));
    const orders = await comes(authority.leaf(id('orders')));
    t.equal(codeOf(orders), 'certificate_revoked');
    revoke('');
    t.equal(orders(), id('orders'));
  },
);

t.test('a certificate under another name of the trust domain is that of the present name', async (t) => {
  const { authority, comes } = await listening(t, ['old.example']);
  t.equal((await comes(authority.leaf(id('orders', 'old.example'))))(), id('orders'));
  t.equal(codeOf(await comes(authority.leaf(id('orders', 'other.example')))), 'foreign_trust_domain');
});

t.test(
  'where a root is gone, calls are refused at once, and the connection is left a moment to hear of it',
  async (t) => {
    const { authority, callers, served, comes } = await listening(t);
    const orders = await comes(authority.leaf(id('orders')));
    const [socket] = served;
    callers.trust(new TestAuthority().rootPem, { cutAfterMs: 300 });
    t.equal(codeOf(orders), 'untrusted_issuer');
    t.equal(socket?.destroyed, false, 'what is on its way to it is still sent');
    await eventually('it ends', () => socket?.destroyed === true);
  },
);

t.test('a root that comes back meanwhile ends nothing; who is revoked is cut at once', async (t) => {
  const { authority, callers, served, comes, revoke } = await listening(t);
  const orders = await comes(authority.leaf(id('orders')));
  const [socket] = served;
  callers.trust(new TestAuthority().rootPem, { cutAfterMs: 50 });
  callers.trust(authority.rootPem);
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(socket?.destroyed, false);
  t.equal(orders(), id('orders'));
  revoke(id('orders'));
  t.equal(socket?.destroyed, true);
});
