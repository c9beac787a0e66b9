import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { type Client, type ClientDuplexStream, Metadata, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { openTokenStore } from '#control-plane/tokens/token-store.ts';
import { createCertificateRequest } from '#policy/x509/certificate-request.ts';
import { AuthorityService, type SignRequest, type SignResponse } from '#proto/gen/lateral/v1/authority.ts';
import { DiscoveryService, type SubscribeRequest, type SubscribeResponse } from '#proto/gen/lateral/v1/discovery.ts';
import { openControlConnection } from '#sidecar/control/control-endpoint.ts';
import type { Credentials } from '#sidecar/identity/credentials.ts';
import { allowPolicy, ControlPlaneFixture, eventually, MESH, SidecarFixture } from './control-plane-fixture.ts';

/** Subscriptions of these tests send none: they last three times as long, on a busy machine too. */
const HEARTBEAT_MS = 2_000;

async function controlPlane(t: Test, heartbeatIntervalMs = HEARTBEAT_MS) {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start({ heartbeatIntervalMs });
  t.teardown(() => fixture.stop());
  return fixture;
}

function client(t: Test, fixture: ControlPlaneFixture, credentials?: Credentials): Client {
  const trustBundlePem = fixture.running?.trustBundlePem ?? '';
  const endpoint = { address: `127.0.0.1:${fixture.port}`, trustBundlePem, mesh: MESH };
  const connection = openControlConnection(endpoint, credentials);
  t.teardown(() => connection.close());
  return connection;
}

async function ordersCredentials(t: Test, fixture: ControlPlaneFixture): Promise<Credentials> {
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  return connection.credentials.current();
}

interface Failure {
  readonly code: number;
  readonly details: string;
}

/** The refusal of a call to Sign, or its answer. */
function sign(client: Client, request: SignRequest, token?: string): Promise<Failure | SignResponse> {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  const { path, requestSerialize, responseDeserialize } = AuthorityService.sign;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, (error, response) => {
      if (error !== null) resolve({ code: error.code, details: error.details });
      else if (response === undefined) reject(new Error('neither error nor answer'));
      else resolve(response);
    });
  });
}

function csr(): Buffer {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return createCertificateRequest(publicKey, privateKey);
}

const identity = (serviceAccount: string, namespace = 'shop') =>
  `spiffe://cluster.local/ns/${namespace}/sa/${serviceAccount}`;

/** A subscription spoken by hand: what came, and how it ended. */
class RawSubscription {
  readonly received: SubscribeResponse[] = [];
  readonly stream: ClientDuplexStream<SubscribeRequest, SubscribeResponse>;
  failure: Failure | undefined;

  constructor(client: Client) {
    const { path, requestSerialize, responseDeserialize } = DiscoveryService.subscribe;
    this.stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
    this.stream.on('data', (response: SubscribeResponse) => this.received.push(response));
    this.stream.on('error', (error: Error & Partial<Failure>) => {
      this.failure = { code: error.code ?? -1, details: error.details ?? error.message };
    });
  }

  say(message: SubscribeRequest['message']): void {
    this.stream.write({ message });
  }

  hello(
    names: { name?: string; namespace?: string; serviceAccount?: string } = {},
    known: { version?: string } = {},
  ): void {
    const { name = 'o', namespace = 'shop', serviceAccount = 'orders' } = names;
    const workload = { name, namespace, serviceAccount, labels: { app: 'orders' }, ports: [] };
    const { version: knownVersion = '' } = known;
    this.say({
      $case: 'hello',
      value: {
        workload,
        knownVersion,
        knownResources: [],
        sidecarVersion: '',
        controlPlaneKinds: [],
        takesParts: false,
        heldDocuments: [],
      },
    });
  }

  get updates() {
    return this.received.flatMap(({ message }) => (message?.$case === 'update' ? [message.value] : []));
  }

  async ended(): Promise<Failure> {
    await eventually('the stream ended', () => this.failure !== undefined);
    return this.failure ?? { code: -1, details: '' };
  }
}

t.test('Sign wants a proof', async (t) => {
  const fixture = await controlPlane(t);
  const asked = { csr: csr(), expectedIdentity: identity('orders') };
  const connection = client(t, fixture);
  t.match(await sign(connection, asked), { code: status.UNAUTHENTICATED, details: /neither a join token nor/ });
  t.match(await sign(connection, asked, 'rubbish'), { code: status.UNAUTHENTICATED, details: /not of the form/ });
  const guess = `lateral.${'0'.repeat(32)}.${'A'.repeat(43)}`;
  t.match(await sign(connection, asked, guess), { code: status.UNAUTHENTICATED, details: /unknown here/ });
});

t.test('Sign refuses a CSR that was tampered with, and the token stays good', async (t) => {
  const fixture = await controlPlane(t);
  const store = await openTokenStore(fixture.configuration.tokenDirectory ?? '', Date.now);
  const grant = { namespace: 'shop', serviceAccount: 'orders', isReusable: false, expiresAtMs: Date.now() + 60_000 };
  const token = await store.issue(grant);
  const good = csr();
  const bad = Buffer.from(good);
  const last = bad.length - 1;
  bad[last] = (bad[last] ?? 0) ^ 1;
  const connection = client(t, fixture);
  const expectedIdentity = identity('orders');
  t.match(await sign(connection, { csr: bad, expectedIdentity }, token), { code: status.INVALID_ARGUMENT });
  t.match(await sign(connection, { csr: good, expectedIdentity }, token), { certificateChain: { length: 2 } });
  t.match(await sign(connection, { csr: good, expectedIdentity }, token), { details: /used already/ });
});

t.test('of callers with one token at the same time, one gets a certificate', async (t) => {
  const fixture = await controlPlane(t);
  const store = await openTokenStore(fixture.configuration.tokenDirectory ?? '', Date.now);
  const grant = { namespace: 'shop', serviceAccount: 'orders', isReusable: false, expiresAtMs: Date.now() + 60_000 };
  const token = await store.issue(grant);
  const connection = client(t, fixture);
  const calls = Array.from({ length: 10 }, () =>
    sign(connection, { csr: csr(), expectedIdentity: identity('orders') }, token),
  );
  const answers = await Promise.all(calls);
  t.equal(answers.filter((answer) => 'certificateChain' in answer).length, 1);
});

t.test('Sign by certificate renews the own identity and no other', async (t) => {
  const fixture = await controlPlane(t);
  const connection = client(t, fixture, await ordersCredentials(t, fixture));
  t.match(await sign(connection, { csr: csr(), expectedIdentity: identity('orders') }), {
    certificateChain: { length: 2 },
  });
  const other = await sign(connection, { csr: csr(), expectedIdentity: identity('payments') });
  t.match(other, { code: status.PERMISSION_DENIED, details: /certificate is for/ });
});

t.test("the control plane's own identity is never signed, whatever the token says", async (t) => {
  const fixture = await controlPlane(t);
  const store = await openTokenStore(fixture.configuration.tokenDirectory ?? '', Date.now);
  const token = await store.issue({
    namespace: 'lateral-system',
    serviceAccount: 'control-plane',
    isReusable: true,
    expiresAtMs: Date.now() + 60_000,
  });
  const asked = { csr: csr(), expectedIdentity: identity('control-plane', 'lateral-system') };
  t.match(await sign(client(t, fixture), asked, token), { code: status.PERMISSION_DENIED, details: /own identity/ });
});

t.test('a certificate of a foreign authority is none', async (t) => {
  const fixture = await controlPlane(t);
  const foreign = new ControlPlaneFixture(join(fixture.directory, 'foreign'));
  await foreign.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await foreign.start();
  t.teardown(() => foreign.stop());
  const connection = client(t, fixture, await ordersCredentials(t, foreign));
  const answer = await sign(connection, { csr: csr(), expectedIdentity: identity('orders') });
  t.match(answer, { code: status.UNAUTHENTICATED });
  const subscription = new RawSubscription(connection);
  subscription.hello();
  t.match(await subscription.ended(), { code: status.UNAUTHENTICATED });
});

t.test('Subscribe wants a certificate, and a Hello that names its identity', async (t) => {
  const fixture = await controlPlane(t);
  const without = new RawSubscription(client(t, fixture));
  without.hello();
  t.match(await without.ended(), { code: status.UNAUTHENTICATED });
  const credentials = await ordersCredentials(t, fixture);
  for (const names of [{ serviceAccount: 'payments' }, { namespace: 'bank' }]) {
    const subscription = new RawSubscription(client(t, fixture, credentials));
    subscription.hello(names);
    t.match(await subscription.ended(), {
      code: status.PERMISSION_DENIED,
      details: /the certificate proves shop\/orders/,
    });
    t.strictSame(subscription.updates, []);
  }
});

t.test('one update is in flight at a time, and what changes meanwhile comes as one', async (t) => {
  const fixture = await controlPlane(t);
  const subscription = new RawSubscription(client(t, fixture, await ordersCredentials(t, fixture)));
  subscription.hello();
  const beat = setInterval(() => subscription.say({ $case: 'heartbeat', value: { sequence: 1 } }), HEARTBEAT_MS);
  t.teardown(() => clearInterval(beat));
  await eventually('the first update', () => subscription.updates.length === 1);
  const applies = () => fixture.events.filter(({ event }) => event === 'policies_in_force').length;
  for (const name of ['b', 'c']) {
    const before = applies();
    await fixture.writePolicy(`${name}.yaml`, allowPolicy(name, 'web'));
    await eventually('it is in force', () => applies() > before);
  }
  t.equal(subscription.updates.length, 1, 'nothing before the ACK');
  const [first] = subscription.updates;
  t.match(first, { previousVersion: '', upserts: { length: 1 } });
  subscription.say({ $case: 'ack', value: { version: first?.version ?? '' } });
  await eventually('the second update', () => subscription.updates.length === 2);
  t.match(subscription.updates[1], { previousVersion: first?.version, upserts: { length: 2 }, removedKeys: [] });
});

t.test('what is removed is named, and a known version gets an update without changes', async (t) => {
  const fixture = await controlPlane(t);
  const credentials = await ordersCredentials(t, fixture);
  const subscription = new RawSubscription(client(t, fixture, credentials));
  subscription.hello();
  await eventually('the first update', () => subscription.updates.length === 1);
  const version = subscription.updates[0]?.version ?? '';
  const again = new RawSubscription(client(t, fixture, credentials));
  again.hello({}, { version });
  await eventually('its update', () => again.updates.length === 1);
  t.strictSame(again.updates[0], { version, previousVersion: version, upserts: [], removedKeys: [] });
  again.say({ $case: 'ack', value: { version } });
  await fixture.writePolicy('a.yaml', allowPolicy('z', 'web'));
  await eventually('the change', () => again.updates.length === 2 || again.failure !== undefined);
  t.match(
    again.updates[1]?.upserts.map(({ key }) => key),
    ['AuthorizationPolicy/shop/z'],
  );
});

t.test('an unknown version without a list of resources gets everything', async (t) => {
  const fixture = await controlPlane(t);
  const subscription = new RawSubscription(client(t, fixture, await ordersCredentials(t, fixture)));
  subscription.hello({}, { version: 'of-another-time' });
  await eventually('the update', () => subscription.updates.length === 1);
  t.match(subscription.updates[0], { previousVersion: '', upserts: { length: 1 } });
});

t.test('outside of Kubernetes sidecars of one name are served side by side', async (t) => {
  const fixture = await controlPlane(t);
  const credentials = await ordersCredentials(t, fixture);
  const twins = [1, 2, 3].map(() => new RawSubscription(client(t, fixture, credentials)));
  for (const twin of twins) twin.hello({ name: 'twin' });
  await eventually('their updates', () => twins.every(({ updates }) => updates.length === 1));
  await fixture.writePolicy('a.yaml', allowPolicy('z', 'web'));
  for (const twin of twins) twin.say({ $case: 'ack', value: { version: twin.updates[0]?.version ?? '' } });
  await eventually('the change at each', () => twins.every(({ updates }) => updates.length === 2));
  t.match(await (await fixture.status('/metrics')).text(), /subscriptions_replaced_total 0\n/);
});

t.test('a sidecar that breaks the protocol is told how', async (t) => {
  const fixture = await controlPlane(t);
  const credentials = await ordersCredentials(t, fixture);
  const first = new RawSubscription(client(t, fixture, credentials));
  first.say({ $case: 'ack', value: { version: 'x' } });
  t.match(await first.ended(), { code: status.INVALID_ARGUMENT, details: 'Hello must come first' });
  const second = new RawSubscription(client(t, fixture, credentials));
  second.hello();
  second.hello();
  t.match(await second.ended(), { code: status.INVALID_ARGUMENT, details: 'a second Hello' });
  const third = new RawSubscription(client(t, fixture, credentials));
  third.hello();
  third.say({ $case: 'ack', value: { version: 'of-nothing' } });
  t.match(await third.ended(), { code: status.FAILED_PRECONDITION, details: /is in flight/ });
});

t.test('a silent sidecar is taken as gone after three intervals, and heartbeats come meanwhile', async (t) => {
  const fixture = await controlPlane(t, 400);
  const subscription = new RawSubscription(client(t, fixture, await ordersCredentials(t, fixture)));
  subscription.hello();
  t.match(await subscription.ended(), { code: status.DEADLINE_EXCEEDED, details: /silent for/ });
  t.ok(subscription.received.filter(({ message }) => message?.$case === 'heartbeat').length >= 2);
  await eventually('it is no longer shown', async () =>
    (await (await fixture.status('/proxies')).text()).includes('"proxies": []'),
  );
});

t.test('TLS 1.2 is refused', async (t) => {
  const fixture = await controlPlane(t);
  const handshake = (version: 'TLSv1.2' | 'TLSv1.3') =>
    new Promise<string>((resolve) => {
      const socket = connect({
        port: fixture.port,
        host: '127.0.0.1',
        ALPNProtocols: ['h2'],
        minVersion: version,
        maxVersion: version,
        rejectUnauthorized: false,
      });
      socket.on('secureConnect', () => {
        resolve(socket.getProtocol() ?? '');
        socket.destroy();
      });
      socket.on('error', () => resolve('refused'));
    });
  t.equal(await handshake('TLSv1.2'), 'refused');
  t.equal(await handshake('TLSv1.3'), 'TLSv1.3');
});

t.test('fifty sidecars have a change in under two seconds', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start();
  t.teardown(() => fixture.stop());
  const tokenFile = await fixture.token({ isReusable: true });
  const sidecars = await Promise.all(
    Array.from({ length: 50 }, async (_, n) => {
      const workload = { name: `orders-${n}`, namespace: 'shop', serviceAccount: 'orders', labels: { app: 'orders' } };
      const connection = await new SidecarFixture(fixture).connect({ tokenFile, workload });
      t.teardown(() => connection.close());
      const versions: string[] = [];
      await connection.policies.start(async ({ version }) => {
        versions.push(version);
      });
      return versions;
    }),
  );
  const startedAt = performance.now();
  await fixture.writePolicy('b.yaml', allowPolicy('b', 'payments'));
  await eventually('all have it', () => sidecars.every((versions) => versions.length === 2));
  const tookMs = performance.now() - startedAt;
  t.comment(`${Math.round(tookMs)} ms`);
  t.ok(tookMs < 2_000);
  t.equal(new Set(sidecars.map((versions) => versions[1])).size, 1);
});
