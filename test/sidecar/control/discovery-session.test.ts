import { promisify } from 'node:util';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import t from 'tap';
import { createAuthority } from '#control-plane/authority/authority.ts';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import { issueControlPlaneCertificate } from '#control-plane/authority/control-plane-certificate.ts';
import { DiscoveryService, type Vitals } from '#proto/gen/lateral/v1/discovery.ts';
import { openControlConnection } from '#sidecar/control/control-endpoint.ts';
import { DiscoverySession } from '#sidecar/control/discovery-session.ts';
import { UpdateAssembly } from '#sidecar/control/update-assembly.ts';
import { MESH } from '../../control-plane/control-plane-fixture.ts';

const VITALS: Vitals = {
  certificateExpiresAtMs: 0,
  certificateSerial: '',
  lastRenewalAtMs: 0,
  renewalFailures: 0,
  failureCode: '',
  failureReason: '',
  failedAtMs: 0,
  trustedRoots: [],
  plaintextCallers: [],
};

t.test('a control plane that is silent for three intervals is taken as gone', async (t) => {
  const material = await openAuthorityDirectory(t.testdir(), MESH, Date.now());
  const authority = createAuthority(material, { leafLifetimeMs: 60_000, now: Date.now });
  const { privateKeyPem, certificateChainPem } = issueControlPlaneCertificate(authority, MESH);
  const server = new Server();
  let heard = 0;
  server.addService(DiscoveryService, {
    subscribe: (call: { on(event: 'data', listener: () => void): void }) => call.on('data', () => heard++),
  });
  const credentials = ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(privateKeyPem), cert_chain: Buffer.from(certificateChainPem) },
  ]);
  const port = await promisify(server.bindAsync.bind(server))('127.0.0.1:0', credentials);
  t.teardown(() => server.forceShutdown());
  const { trustBundlePem } = authority;
  const client = openControlConnection({ address: `127.0.0.1:${port}`, trustBundlePem, mesh: MESH }, undefined);
  t.teardown(() => client.close());
  let isAlive = false;
  const session = new DiscoverySession({
    client,
    hello: {
      workload: undefined,
      knownVersion: '',
      knownResources: [],
      sidecarVersion: '',
      controlPlaneKinds: [],
      takesParts: false,
      heldDocuments: [],
    },
    assembly: new UpdateAssembly(),
    onUpdate: async () => ({ kind: 'ack' }),
    onTapOrder: () => {},
    onAlive: () => {
      isAlive = true;
    },
    heartbeatIntervalMs: 300,
    vitals: async () => VITALS,
    monotonicNow: () => performance.now(),
  });
  t.match((await session.ended).reason, /the control plane was silent for \d+ ms, longer than 900/);
  t.ok(heard >= 2, 'it heard the Hello and a heartbeat');
  t.notOk(isAlive);
});
