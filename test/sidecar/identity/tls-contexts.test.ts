import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import type { Refusal } from '#policy/error/refusal.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { RevocationListSpec } from '#policy/resource/kinds/revocation-list.ts';
import { compileTrust, NOBODY_REVOKED, type PeerTrust } from '#policy/trust/peer-trust.ts';
import type { TlsVersion } from '#policy/workload-policy.ts';
import { dial } from '#sidecar/http/dial.ts';
import type { UpstreamFailure, VerifiedCertificate } from '#sidecar/http/message.ts';
import { LONGEST_DRAIN_MS } from '#sidecar/identity/connection-life.ts';
import { TlsContexts } from '#sidecar/identity/tls-contexts.ts';
import { SecureAcceptor } from '#sidecar/listener/secure-acceptor.ts';
import { ReceivedCredentials } from '#sidecar/workers/received-credentials.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { listen, portOf } from '../../support/free-ports.ts';

/** Labels of a trust domain. */
const LONG = Array.from({ length: 3 }, () => 'x'.repeat(60)).join('.');
const HOUR_MS = 3_600_000;
const CLIENT = spiffeId('cluster.local', 'test', 'client');
const SERVER = spiffeId('cluster.local', 'test', 'server');

interface Law {
  trust: PeerTrust | undefined;
  minTlsVersion: TlsVersion;
}

/** A policy that a test changes: what of the law in force TLS goes by. */
function changeable(law: Law) {
  const listeners: (() => void)[] = [];
  return {
    get inForce() {
      return { trust: law.trust, defaults: { minTlsVersion: law.minTlsVersion } };
    },
    onChange: (listener: () => void) => void listeners.push(listener),
    change(to: Partial<Law>) {
      Object.assign(law, to);
      for (const listener of listeners) listener();
    },
  };
}

function credentialsOf(authority: TestAuthority, uri: string, lifetimeMs = HOUR_MS) {
  const { cert, key } = authority.leaf(uri, Date.now(), lifetimeMs);
  return {
    identity: uri === SERVER.uri ? SERVER : CLIENT,
    certificateChainPem: cert,
    privateKeyPem: key,
    trustBundlePem: authority.rootPem,
    expiresAtMs: Math.floor((Date.now() + lifetimeMs) / 1_000) * 1_000,
  };
}

function trustOf(
  authority: TestAuthority,
  aliases: readonly string[] = [],
  revoked: RevocationListSpec = NOBODY_REVOKED,
) {
  return compileTrust([{ trustDomain: 'cluster.local', rootsPem: authority.rootPem }], aliases, revoked);
}

/** One end of the mesh with credentials and a law of its own. */
function end(t: Test, authority: TestAuthority, uri: string, lifetimeMs?: number) {
  const credentials = new ReceivedCredentials(credentialsOf(authority, uri, lifetimeMs));
  const policy = changeable({ trust: undefined, minTlsVersion: 'TLSv1.3' });
  const contexts = new TlsContexts(credentials, policy);
  t.teardown(() => contexts.close());
  return { credentials, policy, contexts };
}

/** Serves by a SecureAcceptor, as a listener does; tells whom it let in and whom not. */
async function serve(t: Test, { contexts }: ReturnType<typeof end>) {
  const accepted: VerifiedCertificate[] = [];
  const refused: Refusal[] = [];
  const sockets: tls.TLSSocket[] = [];
  const acceptor = new SecureAcceptor(contexts.server(), ['http/1.1'], {
    ownEndMs: () => contexts.ownEndMs,
    verify: (socket, ownEndMs) => contexts.acceptCaller(socket, ownEndMs),
    onSecure(_given, socket, certificate) {
      accepted.push(certificate);
      sockets.push(socket);
      socket.on('error', () => {});
      socket.on('data', () => socket.write('pong'));
    },
    onRefused: (_given, _address, refusal) => void refused.push(refusal),
  });
  contexts.onChange(() => acceptor.renew(contexts.server()));
  const server = await listen(createServer({ pauseOnConnect: true }, (socket) => acceptor.accept(socket, {}, true)));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: portOf(server), accepted, refused, sockets };
}

type Called =
  | { readonly socket: Socket; readonly isResumed: boolean; readonly certificate: VerifiedCertificate | undefined }
  | { readonly failure: UpstreamFailure };

/** Dials as the sidecar does, and has one round trip: tickets have come by then. */
async function call(t: Test, { contexts }: ReturnType<typeof end>, port: number, expected = SERVER): Promise<Called> {
  const peer = contexts.peer(expected, { address: '127.0.0.1', port, localAddress: undefined });
  const { promise, resolve } = Promise.withResolvers<Called>();
  dial('127.0.0.1', port, peer, (failure, socket, certificate) => {
    if (socket === null) return resolve({ failure: failure as UpstreamFailure });
    const isResumed = socket instanceof tls.TLSSocket && socket.isSessionReused();
    resolve({ socket, isResumed, certificate });
  });
  const called = await promise;
  if (!('socket' in called)) return called;
  const { socket } = called;
  t.teardown(() => socket.destroy());
  socket.on('error', () => {});
  socket.on('end', () => socket.destroy());
  socket.resume();
  socket.write('ping');
  await Promise.race([once(socket, 'data'), once(socket, 'close')]);
  return called;
}

function isOpen(called: Called): boolean {
  return 'socket' in called && !called.socket.destroyed;
}

t.test('a second handshake between sidecars is resumed, with the identities of the first', async (t) => {
  const authority = new TestAuthority();
  const [client, server] = [end(t, authority, CLIENT.uri), end(t, authority, SERVER.uri)];
  const served = await serve(t, server);
  const first = await call(t, client, served.port);
  const second = await call(t, client, served.port);
  t.match(first, { isResumed: false, certificate: { identity: SERVER } });
  t.match(second, { isResumed: true, certificate: { identity: SERVER } });
  t.strictSame(
    served.accepted.map(({ identity }) => identity.uri),
    [CLIENT.uri, CLIENT.uri],
  );
  t.strictSame(client.contexts.counts.handshakes.outbound, { full: 1, resumed: 1 });
  t.strictSame(server.contexts.counts.handshakes.inbound, { full: 1, resumed: 1 });
});

t.test('a session is not resumed once either end has another certificate', async (t) => {
  const authority = new TestAuthority();
  const [client, server] = [end(t, authority, CLIENT.uri), end(t, authority, SERVER.uri)];
  const served = await serve(t, server);
  await call(t, client, served.port);
  client.credentials.receive(credentialsOf(authority, CLIENT.uri));
  t.match(await call(t, client, served.port), { isResumed: false });
  t.match(await call(t, client, served.port), { isResumed: true });
  server.credentials.receive(credentialsOf(authority, SERVER.uri));
  t.match(await call(t, client, served.port), { isResumed: false });
});

t.test('who is revoked is cut off at once, and comes back by no session', async (t) => {
  const authority = new TestAuthority();
  for (const revoke of ['identity', 'serial'] as const) {
    const [client, server] = [end(t, authority, CLIENT.uri), end(t, authority, SERVER.uri)];
    const served = await serve(t, server);
    const before = await call(t, client, served.port);
    const [{ peer } = { peer: undefined }] = served.accepted;
    const at = '2026-01-01T00:00:00Z';
    const revoked =
      revoke === 'identity'
        ? { identities: [{ id: CLIENT.uri, at }], serials: [] }
        : { identities: [], serials: [{ serial: peer?.serial ?? '', at, until: '2126-01-01T00:00:00Z' }] };
    t.ok(isOpen(before));
    server.policy.change({ trust: trustOf(authority, [], revoked) });
    if ('socket' in before && !before.socket.destroyed) await once(before.socket, 'close');
    t.strictSame(server.contexts.counts.cut, { expired: 0, refused: 1 });
    const again = await call(t, client, served.port);
    t.notOk(isOpen(again));
    t.match(served.refused, [{ code: 'certificate_revoked', reason: /revoked at 2026-01-01/ }]);
    server.policy.change({ trust: trustOf(authority) });
    t.ok(isOpen(await call(t, client, served.port)), 'and is let in when that is taken back');
  }
});

t.test('a server that is revoked, or of a root that is trusted no longer, is called no more', async (t) => {
  const authority = new TestAuthority();
  const [client, server] = [end(t, authority, CLIENT.uri), end(t, authority, SERVER.uri)];
  const served = await serve(t, server);
  const before = await call(t, client, served.port);
  client.policy.change({
    trust: trustOf(authority, [], { identities: [{ id: SERVER.uri, at: '2026-01-01T00:00:00Z' }], serials: [] }),
  });
  t.notOk(isOpen(before));
  t.match(await call(t, client, served.port), { failure: { kind: 'certificate', message: /certificate_revoked/ } });
  client.policy.change({ trust: trustOf(new TestAuthority()) });
  t.match(await call(t, client, served.port), { failure: { kind: 'certificate', message: /untrusted_issuer/ } });
  client.policy.change({ trust: trustOf(authority) });
  t.ok(isOpen(await call(t, client, served.port)));
});

t.test('a change of the roots under which both ends stay trusted cuts nobody', async (t) => {
  const authority = new TestAuthority();
  const [client, server] = [end(t, authority, CLIENT.uri), end(t, authority, SERVER.uri)];
  const served = await serve(t, server);
  const open = await call(t, client, served.port);
  const rootsPem = `${new TestAuthority().rootPem}${authority.rootPem}`;
  const both = compileTrust([{ trustDomain: 'cluster.local', rootsPem }], [], NOBODY_REVOKED);
  client.policy.change({ trust: both });
  server.policy.change({ trust: both });
  t.ok(isOpen(open));
  t.match(await call(t, client, served.port), { isResumed: true });
});

t.test('a connection ends with the first certificate that it was made with', async (t) => {
  const authority = new TestAuthority();
  const client = end(t, authority, CLIENT.uri, 3_000);
  const server = end(t, authority, SERVER.uri);
  const served = await serve(t, server);
  const called = await call(t, client, served.port);
  if (!('socket' in called)) throw new Error('no connection');
  const endsAtMs = called.certificate?.life.endAtMs ?? 0;
  t.equal(endsAtMs, client.credentials.current().expiresAtMs);
  t.ok((called.certificate?.life.drainAtMs ?? 0) < endsAtMs);
  client.credentials.receive(credentialsOf(authority, CLIENT.uri)); // the connection goes on as it was made
  await once(called.socket, 'close');
  t.ok(Date.now() >= endsAtMs, 'not before');
  t.ok(Date.now() < endsAtMs + 2_500, `${Date.now() - endsAtMs} ms after`);
});

t.test('a resumed connection lives no longer than what its first handshake stood on', async (t) => {
  const authority = new TestAuthority();
  const [client, server] = [end(t, authority, CLIENT.uri, 20_000), end(t, authority, SERVER.uri)];
  const served = await serve(t, server);
  const first = await call(t, client, served.port);
  await wait(1_100);
  const second = await call(t, client, served.port);
  if (!('socket' in first && 'socket' in second)) throw new Error('no connection');
  t.ok(second.isResumed);
  t.equal(second.certificate?.life.endAtMs, first.certificate?.life.endAtMs);
  t.equal(served.accepted[1]?.life.endAtMs, served.accepted[0]?.life.endAtMs);
});

t.test(
  'names of one trust domain are one: an alias is believed by the own roots, and expected as the present name',
  async (t) => {
    const authority = new TestAuthority();
    const former = spiffeId('former.example', 'test', 'server');
    const client = end(t, authority, CLIENT.uri);
    const server = end(t, authority, former.uri);
    const served = await serve(t, server);
    t.match(await call(t, client, served.port), { failure: { kind: 'certificate', message: /foreign_trust_domain/ } });
    client.policy.change({ trust: trustOf(authority, ['former.example']) });
    t.match(await call(t, client, served.port), { certificate: { identity: former } });
    const other = spiffeId('cluster.local', 'test', 'other');
    t.match(await call(t, client, served.port, other), {
      failure: { kind: 'identity', message: /expected .*sa\/other/ },
    });
  },
);

t.test('the roots of another trust domain vouch for it alone', async (t) => {
  const [authority, partner] = [new TestAuthority(), new TestAuthority('partner.example')];
  const server = end(t, authority, SERVER.uri);
  const served = await serve(t, server);
  server.policy.change({
    trust: compileTrust(
      [
        { trustDomain: 'cluster.local', rootsPem: authority.rootPem },
        { trustDomain: 'partner.example', rootsPem: partner.rootPem },
      ],
      [],
      NOBODY_REVOKED,
    ),
  });
  const callAs = async (uri: string) => {
    const { cert, key } = partner.leaf(uri);
    const socket = tls.connect({ port: served.port, host: '127.0.0.1', cert, key, rejectUnauthorized: false });
    socket.on('error', () => {});
    socket.write('ping');
    await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    socket.destroy();
  };
  await callAs('spiffe://partner.example/ns/test/sa/client');
  t.strictSame(
    served.accepted.map(({ identity }) => identity.uri),
    ['spiffe://partner.example/ns/test/sa/client'],
  );
  await callAs('spiffe://cluster.local/ns/test/sa/client');
  t.equal(served.accepted.length, 1);
  t.match(served.refused, [{ code: 'untrusted_issuer' }]);
});

t.test('TLS 1.2 is spoken where a policy says so, with forward secrecy alone', async (t) => {
  const authority = new TestAuthority();
  const server = end(t, authority, SERVER.uri);
  const served = await serve(t, server);
  const { cert, key } = authority.leaf(CLIENT.uri);
  const attempt = async (options: tls.ConnectionOptions) => {
    const socket = tls.connect({
      port: served.port,
      cert,
      key,
      ca: authority.rootPem,
      ...options,
      rejectUnauthorized: false,
    });
    const protocol = await new Promise<string | null | undefined>((resolve) => {
      socket.once('secureConnect', () => resolve(socket.getProtocol()));
      socket.once('close', () => resolve(undefined));
      socket.on('error', () => resolve(undefined));
    });
    socket.destroy();
    return protocol;
  };
  const old = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
  t.equal(await attempt(old), undefined);
  server.policy.change({ minTlsVersion: 'TLSv1.2' });
  t.equal(await attempt(old), 'TLSv1.2');
  t.equal(await attempt({}), 'TLSv1.3');
  t.equal(await attempt({ ...old, ciphers: 'ECDHE-ECDSA-AES128-SHA256' }), undefined, 'no authenticated encryption');
  t.equal(await attempt({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' }), undefined);
  server.policy.change({ minTlsVersion: 'TLSv1.3' });
  t.equal(await attempt(old), undefined);
});

t.test('another list of revocations makes no contexts anew; other roots do', (t) => {
  const authority = new TestAuthority();
  const { policy, contexts } = end(t, authority, SERVER.uri);
  let changes = 0;
  contexts.onChange(() => changes++);
  const contextNow = () =>
    contexts.peer(CLIENT, { address: '127.0.0.1', port: 1, localAddress: undefined }).begin().context;
  policy.change({ trust: trustOf(authority) });
  const before = contextNow();
  changes = 0;
  const at = '2026-01-01T00:00:00Z';
  policy.change({ trust: trustOf(authority, [], { identities: [{ id: CLIENT.uri, at }], serials: [] }) });
  t.equal(contextNow(), before);
  t.equal(changes, 0);
  t.match(contexts.trust.revocationOf(CLIENT.uri, ''), /revoked/, 'and yet it counts');
  policy.change({ trust: trustOf(new TestAuthority()) });
  t.not(contextNow(), before);
  t.equal(changes, 1);
  t.end();
});

t.test('credentials that cannot be used leave those of before in use, under the law of now', async (t) => {
  const authority = new TestAuthority();
  const [client, server] = [end(t, authority, CLIENT.uri), end(t, authority, SERVER.uri)];
  const served = await serve(t, server);
  const good = server.credentials.current();
  const [cut, leaf] = ['-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n', authority.leaf(SERVER.uri)];
  const broken = [
    { ...good, certificateChainPem: `${good.certificateChainPem}${cut}` },
    { ...good, privateKeyPem: leaf.key },
    { ...good, trustBundlePem: `${good.trustBundlePem}${leaf.cert}` },
    { ...good, trustBundlePem: `${good.trustBundlePem}${cut}` },
  ];
  for (const credentials of broken) {
    server.credentials.receive(credentials);
    t.ok(isOpen(await call(t, client, served.port)));
    server.policy.change({});
    t.ok(isOpen(await call(t, client, served.port)));
  }
  server.policy.change({ trust: trustOf(new TestAuthority()) });
  t.notOk(isOpen(await call(t, client, served.port)), 'whom to trust changes with them as well');
  t.match(served.refused, [{ code: 'untrusted_issuer' }]);
  server.policy.change({ trust: undefined });
  server.credentials.receive(credentialsOf(authority, SERVER.uri));
  t.match(await call(t, client, served.port), { isResumed: false }, 'and better ones are used');
});

t.test('connections of a TLS that is allowed no longer are ended politely, then cut', async (t) => {
  const authority = new TestAuthority();
  const server = end(t, authority, SERVER.uri);
  server.policy.change({ minTlsVersion: 'TLSv1.2' });
  const served = await serve(t, server);
  const connect = async (maxVersion: TlsVersion) => {
    const { cert, key } = authority.leaf(CLIENT.uri);
    const socket = tls.connect({ port: served.port, cert, key, rejectUnauthorized: false, maxVersion });
    t.teardown(() => socket.destroy());
    socket.on('error', () => {});
    socket.write('ping');
    await once(socket, 'data');
    return socket;
  };
  await connect('TLSv1.2');
  await connect('TLSv1.3');
  const [old, modern] = served.accepted.map(({ life }) => life);
  t.ok((old?.drainAtMs ?? 0) > Date.now());
  server.policy.change({ minTlsVersion: 'TLSv1.3' });
  t.ok((old?.drainAtMs ?? Number.POSITIVE_INFINITY) <= Date.now());
  t.ok((old?.endAtMs ?? Number.POSITIVE_INFINITY) <= Date.now() + LONGEST_DRAIN_MS);
  t.ok((modern?.drainAtMs ?? 0) > Date.now());
});

t.test('names of authorities are told to callers while they are few; else none, and no public ones', async (t) => {
  const authority = new TestAuthority();
  const named = (count: number) => Array.from({ length: count }, (_, n) => new TestAuthority(`${n}.${LONG}.example`));
  const namesTold = (partners: readonly TestAuthority[]) => {
    const domains = partners.map(({ rootPem }, n) => ({ trustDomain: `p${n}.example`, rootsPem: rootPem }));
    const own = { trustDomain: 'cluster.local', rootsPem: `${authority.rootPem}${authority.rootPem}` };
    const { contexts, policy } = end(t, authority, SERVER.uri);
    policy.change({ trust: compileTrust([own, ...domains], [], NOBODY_REVOKED) });
    const { ca } = contexts.server();
    if (!Array.isArray(ca)) throw new Error('public authorities');
    return ca.length;
  };
  t.equal(namesTold([]), 1, 'each once');
  t.equal(namesTold(named(10)), 11);
  t.equal(namesTold(named(200)), 0);
});
