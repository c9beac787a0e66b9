import { createServer, type Server } from 'node:net';
import { TLSSocket } from 'node:tls';
import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Endpoint } from '#policy/workload-policy.ts';
import { type Dialled, dial, type PeerTls } from '#sidecar/http/dial.ts';
import { TlsContexts } from '#sidecar/identity/tls-contexts.ts';
import { PeerPools } from '#sidecar/outbound/peer-pools.ts';
import { ReceivedCredentials } from '#sidecar/workers/received-credentials.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { listen, portOf } from '../../support/free-ports.ts';

const DAY_MS = 86_400_000;
const authority = new TestAuthority();
const identity = spiffeId('cluster.local', 'test', 'server');

t.test('an endpoint that was called in plaintext just now has time to hear of TLS; another has none', (t) => {
  const send = () => {
    throw new Error('nothing is sent');
  };
  const pools = new PeerPools(
    () => ({ send, close: () => {} }),
    (endpoint) => (endpoint.identity === undefined ? undefined : peerAt(0)),
  );
  t.teardown(() => pools.close());
  const endpoint = (address: string): Endpoint => ({ address, port: 80, identity, hasSidecar: true, labels: {} });
  pools.of({ ...endpoint('10.0.0.1'), identity: undefined });
  const leftMs = (one: Endpoint) => (pools.of(one).tls?.settledAt ?? 0) - performance.now();
  const first = leftMs(endpoint('10.0.0.1'));
  t.ok(first > 1_000 && first <= 2_000, `${first} ms`);
  t.ok(leftMs(endpoint('10.0.0.2')) < 0);

  pools.of(endpoint('10.0.0.3'));
  pools.of({ ...endpoint('10.0.0.3'), identity: undefined });
  t.ok(leftMs(endpoint('10.0.0.3')) > 1_000, 'also where it has a pool from before it was in plaintext');
  t.end();
});

t.test('where nobody listens another endpoint is tried at once, settled or not', async (t) => {
  const { port, close } = await lateServer(t, 'nothing', 0);
  await close();
  const began = performance.now();
  const [failure] = await dialled({ ...peerAt(port), settledAt: began + 60_000 }, port);
  t.match(failure, { kind: 'unreachable', message: /ECONNREFUSED/ });
});

t.test('while it settles, a handshake that is answered in plaintext, or not at all, is begun again', async (t) => {
  for (const first of ['plaintext', 'nothing'] as const) {
    const { port, count } = await lateServer(t, first, 2);
    const [failure, socket] = await dialled({ ...peerAt(port), settledAt: performance.now() + 3_000 }, port);
    t.equal(failure, null);
    t.equal(count(), 3);
    socket?.destroy();
  }
});

t.test('who has settled fails at once, and who does not begin to speak TLS as soon as it ought to have', async (t) => {
  const { port, count } = await lateServer(t, 'plaintext', 1_000);
  const [failure] = await dialled(peerAt(port), port);
  t.equal(failure?.kind, 'unreachable');
  t.equal(count(), 1);
  const began = performance.now();
  const [later] = await dialled({ ...peerAt(port), settledAt: began + 300 }, port);
  t.equal(later?.kind, 'unreachable');
  const tookMs = performance.now() - began;
  t.ok(tookMs >= 300 && tookMs < 2_000, `${tookMs} ms`);
});

/** Speaks no TLS to its first callers. */
async function lateServer(t: { teardown(end: () => void): void }, first: 'plaintext' | 'nothing', times: number) {
  const { cert, key } = authority.leaf(identity.uri);
  let count = 0;
  const server: Server = createServer((socket) => {
    socket.on('error', () => {});
    if (count++ >= times) {
      const secure = new TLSSocket(socket, { isServer: true, cert, key, ca: authority.rootPem, requestCert: true });
      secure.on('error', () => {});
    } else if (first === 'plaintext') socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    else socket.resume();
  });
  await listen(server);
  t.teardown(() => server.close());
  const close = () => new Promise<unknown>((resolve) => server.close(resolve));
  return { port: portOf(server), count: () => count, close };
}

function peerAt(port: number): PeerTls {
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  const credentials = {
    identity: spiffeId('cluster.local', 'test', 'client'),
    certificateChainPem: cert,
    privateKeyPem: key,
    trustBundlePem: authority.rootPem,
    expiresAtMs: Date.now() + DAY_MS,
  };
  const contexts = new TlsContexts(new ReceivedCredentials(credentials), { inForce: undefined, onChange() {} });
  return contexts.peer(identity, { address: '127.0.0.1', port, localAddress: undefined });
}

function dialled(peer: PeerTls, port: number): Promise<Parameters<Dialled>> {
  return new Promise((resolve) => dial('127.0.0.1', port, peer, (...outcome) => resolve(outcome)));
}
