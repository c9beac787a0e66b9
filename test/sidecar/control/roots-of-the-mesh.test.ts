import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import { CertificateKeeper } from '#sidecar/control/certificate-keeper.ts';
import { openStateDirectory } from '#sidecar/control/state-directory.ts';
import { RenewalRecord } from '#sidecar/identity/renewal-record.ts';
import {
  allowPolicy,
  ControlPlaneFixture,
  eventually,
  MESH,
  SidecarFixture,
} from '../../control-plane/control-plane-fixture.ts';
import { TestAuthority } from '../../support/certificates.ts';

const RENEWED_WITHIN_MS = 30_000;
const normalized = (pem: string) => certificatesToPem(certificatesFromPem(pem));

async function joined(t: Test) {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  const { trustBundlePem } = await fixture.start();
  t.teardown(() => fixture.stop());
  const stateDirectory = join(fixture.directory, 'state-orders');
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token(), stateDirectory });
  return { fixture, stateDirectory, connection, trustBundlePem: normalized(trustBundlePem) };
}

/** A keeper of what a sidecar has stored. */
async function keeperOf(
  t: Test,
  { fixture, stateDirectory, connection, trustBundlePem }: Awaited<ReturnType<typeof joined>>,
) {
  await connection.close();
  const { identity } = connection.credentials.current();
  const state = openStateDirectory(stateDirectory);
  const { value } = await state.readIdentity(identity);
  if (value === undefined) throw new Error('nothing was stored');
  const events: string[] = [];
  const renewals = new RenewalRecord();
  const keeper = new CertificateKeeper(
    { held: value, rootsPem: trustBundlePem },
    {
      endpoint: { address: `127.0.0.1:${fixture.port}`, trustBundlePem, mesh: MESH },
      identity,
      token: async () => undefined,
      state,
      log: (event) => events.push(event),
      clocks: { now: Date.now, monotonicNow: () => performance.now() },
      renewals,
    },
  );
  t.teardown(() => keeper.close());
  return { keeper, events, renewals, stored: () => state.readIdentity(identity) };
}

t.test(
  'the roots that the mesh publishes take the place of those that came with the certificate, and are kept',
  async (t) => {
    const sidecar = await joined(t);
    t.teardown(() => sidecar.connection.close());
    await sidecar.connection.policies.start(async () => {});
    t.equal(normalized(sidecar.connection.credentials.current().trustBundlePem), sidecar.trustBundlePem);
    await sidecar.connection.close();
    const text = await readFile(join(sidecar.stateDirectory, 'identity.json'), 'utf8');
    t.match(JSON.parse(text), { areRootsOfMesh: true, receivedAtMs: Number });
  },
);

t.test('a further root is told to listeners, believed of a control plane, and asks for no renewal', async (t) => {
  const sidecar = await joined(t);
  const { keeper, events, stored } = await keeperOf(t, sidecar);
  const further = normalized(new TestAuthority().rootPem);
  const both = normalized(`${sidecar.trustBundlePem}${further}`);
  const told: string[] = [];
  keeper.onRenewal(({ trustBundlePem }) => told.push(trustBundlePem));
  const before = keeper.current();
  keeper.trust(both);
  keeper.trust(both);
  t.strictSame(told, [both], 'once');
  t.equal(keeper.endpoint.trustBundlePem, both);
  t.equal(keeper.current().certificateChainPem, before.certificateChainPem);
  await keeper.stored;
  t.match((await stored()).value, { areRootsOfMesh: true, credentials: { trustBundlePem: both } });
  t.strictSame(events, []);
});

t.test(
  'a certificate of a root that is retired is renewed soon; a control plane of that root is believed no longer',
  async (t) => {
    const sidecar = await joined(t);
    const { keeper, events, renewals } = await keeperOf(t, sidecar);
    keeper.trust(normalized(new TestAuthority().rootPem));
    t.strictSame(events, ['certificate_of_retired_root']);
    await eventually('it tried', () => renewals.failure !== undefined, RENEWED_WITHIN_MS);
    t.equal(renewals.failure?.code, 'untrusted_issuer');
    t.ok(new X509Certificate(keeper.current().certificateChainPem), 'what it has is kept');
  },
);

t.test('what comes with a renewed certificate does not undo what the mesh has published', async (t) => {
  const sidecar = await joined(t);
  const { keeper, renewals } = await keeperOf(t, sidecar);
  const both = normalized(`${sidecar.trustBundlePem}${new TestAuthority().rootPem}`);
  keeper.trust(both);
  keeper.trust(normalized(new TestAuthority().rootPem)); // makes the renewal due
  keeper.trust(both); // and it possible
  await eventually('it is renewed', () => renewals.renewals === 1, RENEWED_WITHIN_MS);
  t.equal(keeper.current().trustBundlePem, both);
});
