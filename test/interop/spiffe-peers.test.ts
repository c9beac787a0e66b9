import t, { type Test } from 'tap';
import { eventually } from '../control-plane/control-plane-fixture.ts';
import { TestAuthority } from '../support/certificates.ts';
import { runProgram, startProgram, type ToldEvent } from '../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { type MeshProcesses, type MeshSidecar, startMeshProcesses } from '../support/mesh-processes.ts';
import { agedPeerFiles, type PeerFiles, peerFiles, writePeerFiles } from '../support/peer-certificates.ts';
import { refusedConnections } from '../support/refused-connections.ts';
import { ask, startApp } from '../support/start-app.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

const HOUR_MS = 3_600_000;
const id = (serviceAccount: string) => `spiffe://cluster.local/ns/shop/sa/${serviceAccount}`;

const POLICIES = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/gopher"]}}]}]
`;

interface Peers {
  readonly mesh: MeshProcesses;
  readonly orders: MeshSidecar;
  readonly gopher: PeerFiles;
  /** Runs the Go client against orders; a line for each connection. */
  askOrders(
    files: PeerFiles | undefined,
    options?: { readonly [name: string]: string | number | boolean },
  ): Promise<readonly ToldEvent[]>;
}

const program = (await goTools(t, 'spiffe'))?.spiffe;
const skip = program === undefined ? 'the Go program cannot be built' : false;
const go = program ?? '';

/** A sidecar `orders` before an app that tells who called, and a Go program that has a certificate of the mesh. */
async function startPeers(t: Test): Promise<Peers> {
  const app = await startApp(t, (request, response) =>
    response.end(String(request.headers['x-forwarded-client-cert'])),
  );
  const mesh = await startMeshProcesses(t);
  await mesh.writePolicy('orders.yaml', POLICIES);
  const orders = await mesh.startSidecar('orders', { appPort: app.port });
  return {
    mesh,
    orders,
    gopher: await peerFiles(mesh, 'gopher'),
    async askOrders(files, options = {}) {
      const all = {
        bundle: mesh.trustBundle,
        expect: id('orders'),
        to: `127.0.0.1:${orders.inbound}`,
        ...files,
        ...options,
      };
      const args = Object.entries(all).map(([name, value]) => `-${name}=${value}`);
      const { told, errors } = await runProgram(go, ['ask', ...args]);
      if (told.length === 0) throw new Error(`the client told nothing: ${errors}`);
      return told;
    },
  };
}

t.test('a client by go-spiffe, and one by crypto/tls, call a service behind a sidecar', { skip }, async (t) => {
  const { askOrders, gopher } = await startPeers(t);
  for (const library of ['go-spiffe', 'crypto/tls']) {
    for (const alpn of ['http/1.1', 'h2', 'none']) {
      const [told] = await askOrders(gopher, { library, alpn });
      const negotiated = alpn === 'none' ? '' : alpn;
      t.match(
        told,
        { status: 200, peerId: id('orders'), alpn: negotiated, resumed: false, tlsVersion: 'TLS 1.3' },
        `${library} ${alpn}`,
      );
      t.match(told?.['body'], `URI=${id('gopher')}`, 'the app hears who called');
    }
  }
});

t.test('a Go client that expects another identity ends the handshake', { skip }, async (t) => {
  const { askOrders, gopher, orders } = await startPeers(t);
  for (const library of ['go-spiffe', 'crypto/tls']) {
    const [told] = await askOrders(gopher, { library, expect: id('payments') });
    t.match(
      told?.['error'],
      library === 'go-spiffe' ? /unexpected ID "spiffe:\/\/cluster\.local\/ns\/shop\/sa\/orders"/ : /is not spiffe/,
    );
  }
  for (const { code, reason } of await refusedConnections(orders, 2)) {
    t.equal(code, 'tls_handshake_failed');
    t.match(reason, /alert bad certificate/);
  }
});

t.test('Go clients without a certificate of the mesh are refused, and the log says why', { skip }, async (t) => {
  const { askOrders, mesh, orders } = await startPeers(t);
  const foreign = new TestAuthority().leaf(id('gopher'));
  const other = new TestAuthority('elsewhere.example').leaf('spiffe://elsewhere.example/ns/shop/sa/gopher');
  const callers = [
    { title: 'none', files: undefined, code: 'no_client_certificate', reason: /no certificate/ },
    {
      title: 'one that has ended',
      files: await agedPeerFiles(mesh, 'gopher', 3 * HOUR_MS, HOUR_MS),
      code: 'certificate_expired',
      reason: /valid .* to .*; clock here/,
    },
    {
      title: 'one of another authority',
      files: await writePeerFiles(mesh.directory, 'foreign', foreign.cert, foreign.key),
      code: 'untrusted_issuer',
      reason: /issuer/,
    },
    {
      title: 'one of another trust domain',
      files: await writePeerFiles(mesh.directory, 'other', other.cert, other.key),
      code: 'foreign_trust_domain',
      reason: /elsewhere\.example/,
    },
  ];
  let refused = 0;
  for (const { title, files, code, reason } of callers) {
    for (const alpn of ['http/1.1', 'h2']) {
      const [told] = await askOrders(files, { alpn });
      t.equal(told?.['status'], undefined, `${title}, ${alpn}`);
      t.type(told?.['error'], 'string');
      const line = (await refusedConnections(orders, ++refused)).at(-1);
      t.equal(line?.code, code, title);
      t.match(line?.reason, reason);
    }
  }
});

t.test(
  'a Go client that keeps sessions resumes them, and is known by its certificate all the same',
  { skip },
  async (t) => {
    const { askOrders, gopher } = await startPeers(t);
    for (const alpn of ['http/1.1', 'h2']) {
      const all = await askOrders(gopher, { library: 'crypto/tls', alpn, resume: true, connections: 3 });
      t.equal(all.length, 3);
      for (const [index, told] of all.entries()) {
        t.match(told, { status: 200, peerId: id('orders'), alpn, resumed: index > 0 });
        t.match(told['body'], `URI=${id('gopher')}`);
      }
    }
  },
);

t.test('a Go client of TLS 1.2 is refused', { skip }, async (t) => {
  const { askOrders, gopher, orders } = await startPeers(t);
  const [told] = await askOrders(gopher, { 'max-version': '1.2' });
  t.match(told?.['error'], /protocol version/);
  const [line] = await refusedConnections(orders, 1);
  t.equal(line?.code, 'tls_handshake_failed');
  t.match(line?.reason, /unsupported protocol/);
});

t.test('a sidecar resumes its session with a server that takes one request a connection', { skip }, async (t) => {
  const { mesh } = await startPeers(t);
  const web = await mesh.startSidecar('web', {});
  const server = await startProgram(t, go, [...(await serverOf(mesh, 'brief', 'web')), '-alpn=http/1.1', '-once']);
  await mesh.writePolicy('brief.yaml', serviceOf('brief', server.port, 'brief'));
  const call = () => ask(web.outbound, { headers: { host: 'brief.shop' } });
  await eventually('brief is known', async () => (await call()).status === 200, 10_000);
  const { status, body } = await call();
  t.equal(status, 200);
  t.match(JSON.parse(body), { peerId: id('web'), alpn: 'http/1.1', resumed: true, tlsVersion: 'TLS 1.3' });
});

t.test('a sidecar calls a server by go-spiffe, and no other than the one it expects', { skip }, async (t) => {
  const { mesh } = await startPeers(t);
  const web = await mesh.startSidecar('web', {});
  for (const alpn of ['h2', 'http/1.1']) {
    const name = alpn === 'h2' ? 'modern' : 'plain';
    const server = await startProgram(t, go, [...(await serverOf(mesh, name, 'web')), `-alpn=${alpn}`]);
    await mesh.writePolicy(`${name}.yaml`, serviceOf(name, server.port, name));
    await mesh.writePolicy(`posing-${name}.yaml`, serviceOf(`posing-${name}`, server.port, 'payments'));
    const call = (host: string) => ask(web.outbound, { headers: { host } });
    await eventually(`${name} is known`, async () => (await call(`posing-${name}.shop`)).status === 503, 10_000);
    const answer = await call(`${name}.shop`);
    t.equal(answer.status, 200, answer.body);
    t.match(JSON.parse(answer.body), { by: 'go-spiffe', peerId: id('web'), alpn, tlsVersion: 'TLS 1.3' });
    const refused = await call(`posing-${name}.shop`);
    t.match(JSON.parse(refused.body), { status: 503, code: 'upstream_identity_mismatch' });
  }
  const server = await startProgram(t, go, await serverOf(mesh, 'choosy', 'payments'));
  await mesh.writePolicy('choosy.yaml', serviceOf('choosy', server.port, 'choosy'));
  await eventually(
    'choosy is known',
    async () => {
      return (await ask(web.outbound, { headers: { host: 'choosy.shop' } })).status === 503;
    },
    10_000,
  );
  t.match(await server.told({ event: 'failed' }), {
    reason: /unexpected ID "spiffe:\/\/cluster\.local\/ns\/shop\/sa\/web"/,
  });
});

async function serverOf(mesh: MeshProcesses, name: string, expected: string): Promise<string[]> {
  const { cert, key } = await peerFiles(mesh, name);
  return ['serve', `-cert=${cert}`, `-key=${key}`, `-bundle=${mesh.trustBundle}`, `-expect=${id(expected)}`];
}

function serviceOf(name: string, port: number, serviceAccount: string): string {
  return `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: ${name}, namespace: shop}
spec:
  hosts: [${name}.shop]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${port}, serviceAccount: ${serviceAccount}}]
`;
}
