import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { Http1Upstream } from '#sidecar/http/h1/upstream.ts';
import { Http2Upstream } from '#sidecar/http/h2/upstream.ts';
import type { Upstream } from '#sidecar/http/message.ts';
import { TlsContexts } from '#sidecar/identity/tls-contexts.ts';
import { ReceivedCredentials } from '#sidecar/workers/received-credentials.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { outgoingRequest, readWhole } from '../../support/outgoing-request.ts';

const DAY_MS = 86_400_000;
const authority = new TestAuthority();

t.test('a connection is replaced before a certificate of its ends is over; nothing fails', async (t) => {
  // with a certificate that goes on to be the same, each connection lives a share of what is left; that is looked at each second
  const lifetimeMs = 7_500;
  const port = await meshServer(t, lifetimeMs);
  const upstream = upstreamTo(port);
  t.teardown(() => upstream.close());
  const seen = new Set<string>();
  const until = Date.now() + lifetimeMs;
  while (seen.size < 2 && Date.now() < until) {
    seen.add(await answerOf(upstream));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  t.ok(seen.size >= 2, `${seen.size} connections`);
});

t.test('all requests at once share one connection', async (t) => {
  const upstream = upstreamTo(await meshServer(t, DAY_MS));
  t.teardown(() => upstream.close());
  const answers = await Promise.all(Array.from({ length: 500 }, () => answerOf(upstream)));
  t.equal(new Set(answers).size, 1);
});

t.test('a peer that chooses http/1.1, or nothing, is spoken to in HTTP/1.1', async (t) => {
  for (const protocols of [['http/1.1'], undefined]) {
    const { cert, key } = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
    const options = { cert, key, ca: authority.rootPem, requestCert: true };
    const server = https.createServer(
      protocols === undefined ? options : { ...options, ALPNProtocols: protocols },
      (request, response) => response.end(request.httpVersion),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.closeAllConnections());
    t.teardown(() => server.close());
    const upstream = upstreamTo(portOf(server));
    t.teardown(() => upstream.close());
    t.equal(await answerOf(upstream), '1.1');
    t.equal(await answerOf(upstream), '1.1');
  }
});

/** An HTTP/2 server of node's own, whose answers name the connection that they came on. */
async function meshServer(t: { teardown(end: () => void): void }, lifetimeMs: number): Promise<number> {
  const { cert, key } = authority.leaf(
    'spiffe://cluster.local/ns/test/sa/server',
    Date.now() - 60_000,
    lifetimeMs + 60_000,
  );
  const sessions: object[] = [];
  const server = http2.createSecureServer(
    { cert, key, ca: authority.rootPem, requestCert: true },
    (request, response) => response.end(`connection ${sessions.indexOf(request.stream.session ?? {})}`),
  );
  server.on('session', (session) => sessions.push(session));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return portOf(server);
}

function portOf(server: { address(): AddressInfo | string | null }): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function upstreamTo(port: number): Upstream {
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  const credentials = {
    identity: spiffeId('cluster.local', 'test', 'client'),
    certificateChainPem: cert,
    privateKeyPem: key,
    trustBundlePem: authority.rootPem,
    expiresAtMs: Date.now() + DAY_MS,
  };
  const contexts = new TlsContexts(new ReceivedCredentials(credentials), { inForce: undefined, onChange() {} });
  const server = spiffeId('cluster.local', 'test', 'server');
  const peer = contexts.peer(server, { address: '127.0.0.1', port, localAddress: undefined });
  const fallback = () => new Http1Upstream('127.0.0.1', port, peer);
  return new Http2Upstream({ address: '127.0.0.1', port, peer, fallback });
}

/** The body of one answer. */
async function answerOf(upstream: Upstream): Promise<string> {
  const request = outgoingRequest({ method: 'GET', target: '/', headers: ['host', 'server.test'], version: '1.1' });
  const { body } = await upstream.send(request).response;
  return (await readWhole(body)).body.toString();
}
