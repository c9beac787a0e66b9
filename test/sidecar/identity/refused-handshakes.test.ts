import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import type { Refusal } from '#policy/error/refusal.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { dial } from '#sidecar/http/dial.ts';
import type { UpstreamFailure } from '#sidecar/http/message.ts';
import { TlsContexts } from '#sidecar/identity/tls-contexts.ts';
import { SecureAcceptor } from '#sidecar/listener/secure-acceptor.ts';
import { ReceivedCredentials } from '#sidecar/workers/received-credentials.ts';
import { leafKey, NOW_MS } from '../../policy/x509/mesh-certificates.ts';
import { MALFORMED, REVOKED, TIMES, USAGES } from '../../policy/x509/refused-certificates.ts';
import { CHAINS, WEAK } from '../../policy/x509/refused-chains.ts';
import { IDENTITIES } from '../../policy/x509/refused-identities.ts';
import { type Row, trust } from '../../policy/x509/refused-row.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { listen, portOf } from '../../support/free-ports.ts';

const WEB = spiffeId('cluster.local', 'shop', 'web');
const own = new TestAuthority();
const OWN = spiffeId('cluster.local', 'shop', 'own');

/** Weak keys and digests are shown too: our own rules are what refuses them. */
const CIPHERS = 'DEFAULT@SECLEVEL=0';
const KEY = leafKey.export({ type: 'pkcs8', format: 'pem' }).toString();

const ROWS: readonly (readonly [string, Row])[] = Object.entries({
  ...IDENTITIES,
  ...CHAINS,
  ...WEAK,
  ...USAGES,
  ...TIMES,
  ...REVOKED,
  ...MALFORMED,
});
/** What a program of TLS can show: it reads its own certificate, and has the key to it. Others the pure table alone has. */
const SHOWN = ROWS.filter(([, { chain }]) => canBeShown(chain));

function canBeShown(chain: readonly Buffer[]): boolean {
  try {
    const [leaf] = chain.map((der) => new X509Certificate(der));
    tls.createSecureContext({ cert: certificatesToPem(chain), key: KEY, ciphers: CIPHERS });
    return leaf?.checkPrivateKey(leafKey) === true;
  } catch {
    return false;
  }
}

/** A side of the mesh that trusts as the row says, at its time. */
function judging(t: Test, row: Row): TlsContexts {
  const { cert, key } = own.leaf(OWN.uri);
  const credentials = new ReceivedCredentials({
    identity: OWN,
    certificateChainPem: cert,
    privateKeyPem: key,
    trustBundlePem: own.rootPem,
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  });
  const rules = { rootsText: '', canonical: <Id>(id: Id) => id, authoritiesPem: [own.rootPem] };
  const inForce = {
    trust: { ...(row.trust ?? trust), ...rules },
    defaults: { minTlsVersion: 'TLSv1.3' as const },
  };
  const contexts = new TlsContexts(credentials, { inForce, onChange() {} }, () => row.nowMs ?? NOW_MS);
  t.teardown(() => contexts.close());
  return contexts;
}

t.test('most of the table can be shown over TLS', async (t) => {
  t.ok(SHOWN.length >= 40, `${SHOWN.length} of ${ROWS.length}`);
});

t.test('a caller is refused by its code, before a byte of what it says is read', async (t) => {
  for (const [what, row] of SHOWN) {
    if (row.uses?.includes('client') === false) continue;
    const contexts = judging(t, row);
    const refused = Promise.withResolvers<Refusal>();
    const acceptor = new SecureAcceptor(contexts.server(), ['http/1.1'], {
      ownEndMs: () => contexts.ownEndMs,
      verify: (socket, ownEndMs) => contexts.acceptCaller(socket, ownEndMs),
      onSecure: () => refused.reject(new Error(`${what}: it was let in`)),
      onRefused: (_given, _address, refusal) => refused.resolve(refusal),
    });
    const server = await listen(createServer((socket) => acceptor.accept(socket, {}, true)));
    const cert = certificatesToPem(row.chain);
    const caller = tls.connect({
      host: '127.0.0.1',
      port: portOf(server),
      cert,
      key: KEY,
      ciphers: CIPHERS,
      rejectUnauthorized: false,
    });
    caller.on('error', () => {});
    caller.write('GET / HTTP/1.1\r\n\r\n');
    t.match(await refused.promise, { code: row.code, reason: row.reason }, what);
    if (!caller.destroyed) caller.destroy();
    server.close();
  }
});

t.test('a server is refused by its code, and is sent no byte', async (t) => {
  for (const [what, row] of SHOWN) {
    if (row.uses?.includes('server') === false) continue;
    const contexts = judging(t, row);
    const heard: Uint8Array[] = [];
    const options = { cert: certificatesToPem(row.chain), key: KEY, ciphers: CIPHERS, requestCert: true };
    const server = tls.createServer({ ...options, rejectUnauthorized: false }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes: Buffer) => void heard.push(bytes));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const peer = contexts.peer(WEB, { address: '127.0.0.1', port, localAddress: undefined });
    const failure = await new Promise<UpstreamFailure | null>((resolve) => {
      dial('127.0.0.1', port, peer, (error, socket) => {
        socket?.destroy();
        resolve(error);
      });
    });
    t.equal(failure?.kind, 'certificate', what);
    t.ok(failure?.message.includes(`${row.code}: `), `${what}: ${failure?.message}`);
    t.match(failure?.message, row.reason, what);
    t.strictSame(heard, []);
    server.close();
    await Promise.race([once(server, 'close'), new Promise((resolve) => setTimeout(resolve, 50))]);
  }
});
