import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { MAX_CHAIN_LENGTH } from '#policy/x509/verify-peer.ts';
import { TlsContexts } from '#sidecar/identity/tls-contexts.ts';
import { SecureAcceptor } from '#sidecar/listener/secure-acceptor.ts';
import { ReceivedCredentials } from '#sidecar/workers/received-credentials.ts';
import { leafKey, makeIssuer, makeLeaf, makeRoot, type TestIssuer } from '../../policy/x509/mesh-certificates.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { listen, portOf } from '../../support/free-ports.ts';

const ELSEWHERE = '127.0.0.2';
const authority = new TestAuthority();
const good = authority.leaf('spiffe://cluster.local/ns/shop/sa/web');
const costly = {
  cert: certificatesToPem(chainOfIssuers(MAX_CHAIN_LENGTH + 2)),
  key: leafKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
};

function chainOfIssuers(length: number): readonly Buffer[] {
  let issuer: TestIssuer = makeRoot();
  const chain: Buffer[] = [];
  for (let index = 0; index < length; index++) {
    issuer = makeIssuer(issuer, `Issuing ${index}`);
    chain.unshift(issuer.certificate);
  }
  return [makeLeaf(issuer), ...chain];
}

async function start(t: Test) {
  const own = authority.leaf('spiffe://cluster.local/ns/shop/sa/own');
  const credentials = new ReceivedCredentials({
    identity: spiffeId('cluster.local', 'shop', 'own'),
    certificateChainPem: own.cert,
    privateKeyPem: own.key,
    trustBundlePem: authority.rootPem,
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  });
  const contexts = new TlsContexts(credentials, { inForce: undefined, onChange() {} });
  const refused: string[] = [];
  const acceptor = new SecureAcceptor(contexts.server(), ['http/1.1'], {
    ownEndMs: () => contexts.ownEndMs,
    verify: (socket, ownEndMs) => contexts.acceptCaller(socket, ownEndMs),
    onSecure: (_given, socket) => void socket.on('error', () => {}).write('welcome'),
    onRefused: (_given, _address, refusal) => void refused.push(refusal.code),
  });
  const server = await listen(createServer((socket) => acceptor.accept(socket, {}, true)));
  t.teardown(() => {
    server.close();
    contexts.close();
  });
  const open = (identity: { cert: string; key: string }, localAddress = '127.0.0.1') => {
    const options = { host: '127.0.0.1', port: portOf(server), localAddress, rejectUnauthorized: false };
    const caller = tls.connect({ ...options, ...identity }).on('error', () => {});
    t.teardown(() => caller.destroy());
    return caller;
  };
  /** What the caller hears. */
  const outcome = (caller: tls.TLSSocket) =>
    new Promise<string>((resolve) => {
      caller.once('data', (bytes) => resolve(String(bytes)));
      caller.once('close', () => resolve('closed'));
    });
  return { acceptor, open, outcome, refused, port: portOf(server) };
}

t.test('who sent too many certificates once has no handshake begun for a while; others have', async (t) => {
  const { acceptor, open, outcome, refused } = await start(t);
  t.equal(await outcome(open(good)), 'welcome');
  t.equal(await outcome(open(costly)), 'closed');
  t.strictSame(refused, ['certificate_chain_too_long']);
  t.equal(await outcome(open(costly)), 'closed');
  t.equal(await outcome(open(good)), 'closed', 'the address counts: who shows what is not known before the handshake');
  t.equal(acceptor.turnedAway, 2);
  t.equal(await outcome(open(good, ELSEWHERE)), 'welcome');
  t.strictSame(refused, ['certificate_chain_too_long']);
});

t.test(
  'handshakes of the same address that are under way are broken off, those of others and what is open stay',
  async (t) => {
    const { acceptor, open, outcome, refused, port } = await start(t);
    const secured = open(good);
    t.equal(await outcome(secured), 'welcome');
    const [same, other] = ['127.0.0.1', ELSEWHERE].map((localAddress) =>
      connect({ host: '127.0.0.1', port, localAddress }),
    );
    if (same === undefined || other === undefined) throw new Error('two were opened');
    t.teardown(() => other.destroy());
    await Promise.all([once(same, 'connect'), once(other, 'connect')]);
    const ended = once(same, 'close');
    t.equal(await outcome(open(costly)), 'closed');
    same.resume();
    await ended;
    t.equal(acceptor.turnedAway, 1);
    t.notOk(secured.destroyed);
    t.notOk(other.destroyed);
    t.equal(refused[0], 'certificate_chain_too_long');
  },
);
