import { once } from 'node:events';
import { request } from 'node:https';
import { connect as connectTcp, createServer } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { BUNDLE_GATE, startBundleEndpoint } from '#control-plane/federation/bundle-endpoint.ts';
import { readSpiffeBundle } from '#policy/trust/spiffe-bundle.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { eventually } from '../control-plane-fixture.ts';

const ID = 'spiffe://cluster.local/ns/lateral-system/sa/control-plane';

async function start(t: Test) {
  const authority = new TestAuthority();
  const identityOf = () => {
    const { cert, key } = authority.leaf(ID);
    return { certificateChainPem: cert, privateKeyPem: key };
  };
  const state = { identity: identityOf(), roots: certificatesFromPem(authority.rootPem), identityOf };
  const endpoint = await startBundleEndpoint({
    listen: { address: '127.0.0.1', port: 0 },
    identity: () => state.identity,
    roots: () => state.roots,
    sequenceOf: (roots) => roots.length,
    log: () => {},
  });
  t.teardown(() => endpoint.close());
  const ask = (method = 'GET', path = '/') =>
    new Promise<{ status: number | undefined; body: string; type: string | undefined }>((resolve, reject) => {
      const options = { ca: authority.rootPem, checkServerIdentity: () => undefined, agent: false } as const;
      request({ host: '127.0.0.1', port: endpoint.port, method, path, ...options }, (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode, body, type: response.headers['content-type'] }),
        );
      })
        .on('error', reject)
        .end();
    });
  return { ...endpoint, authority, state, ask };
}

t.test('serves the roots of the moment, at / and /bundle, to anybody', async (t) => {
  const { state, ask } = await start(t);
  for (const path of ['/', '/bundle', '/bundle?x=1']) {
    const { status, type, body } = await ask('GET', path);
    t.match({ status, type }, { status: 200, type: 'application/json' });
    t.strictSame(readSpiffeBundle(body), { roots: state.roots, sequence: 1n, refreshHintS: 300 });
  }
  state.roots = [...state.roots, ...certificatesFromPem(new TestAuthority().rootPem)];
  t.strictSame(readSpiffeBundle((await ask()).body), { roots: state.roots, sequence: 2n, refreshHintS: 300 });
});

t.test('serves nothing else', async (t) => {
  const { ask } = await start(t);
  t.match(await ask('GET', '/metrics'), { status: 404 });
  t.match(await ask('POST', '/'), { status: 405 });
  t.strictSame((await ask('HEAD', '/')).body, '');
});

t.test('proves itself by the certificate of the moment', async (t) => {
  const { port, state } = await start(t);
  const serial = async () => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const first = await serial();
  t.equal(await serial(), first);
  state.identity = state.identityOf();
  t.not(await serial(), first);
});

t.test('speaks TLS 1.2 with forward secrecy and authenticated encryption, and nothing weaker', async (t) => {
  const { port } = await start(t);
  const speak = async (maxVersion: 'TLSv1.1' | 'TLSv1.2', ciphers: string) => {
    const socket: TLSSocket = connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      minVersion: maxVersion,
      maxVersion,
      ciphers,
    });
    t.teardown(() => socket.destroy());
    await once(socket, 'secureConnect');
    return socket.getCipher().name;
  };
  t.equal(await speak('TLSv1.2', 'DEFAULT'), 'ECDHE-ECDSA-AES128-GCM-SHA256');
  await t.rejects(speak('TLSv1.2', 'ECDHE-ECDSA-AES128-SHA'), { message: /handshake failure/ });
  await t.rejects(speak('TLSv1.1', 'DEFAULT@SECLEVEL=0'));
});

t.test('who opens connections without end gets so many, and the rest are closed', async (t) => {
  const { port, counts } = await start(t);
  const { ofAddress } = BUNDLE_GATE.unproven;
  const sockets = Array.from({ length: ofAddress + 8 }, () => connectTcp(port, '127.0.0.1')); // and no handshake
  for (const socket of sockets) socket.on('error', () => {});
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  await eventually('refusals', () => counts.connections.refused.unproven === 8);
  t.equal(counts.connections.refused.unproven, 8);
});

t.test('a port that is taken is an error in words', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const { cert, key } = new TestAuthority().leaf(ID);
  const starting = startBundleEndpoint({
    listen: { address: '127.0.0.1', port },
    identity: () => ({ certificateChainPem: cert, privateKeyPem: key }),
    roots: () => [],
    sequenceOf: () => 1,
    log: () => {},
  });
  await t.rejects(starting, { message: /^cannot listen on 127\.0\.0\.1:\d+ \(bundleEndpoint\.port\): / });
});
