import { appendFile, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import { endsInRoot } from '#sidecar/control/check-credentials.ts';
import {
  allowPolicy,
  ControlPlaneFixture,
  eventually,
  MESH,
  SidecarFixture,
} from '../../control-plane/control-plane-fixture.ts';

/** A leaf's life where its end is waited for. */
const SHORT_LIFE_MS = 2_000;
/** Longest wait for a certificate. */
const ENROLMENT_MS = 10_000;
/** What is refused is renewed early, after a moment, also on a busy machine. */
const RENEWED_WITHIN_MS = 30_000;
const ISSUING_FILES = ['ca-cert.pem', 'ca-key.pem', 'cert-chain.pem'];

/** A control plane that has not begun, with two authorities it may be given. */
async function twoAuthorities(t: Test) {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  t.teardown(() => fixture.stop());
  const folderOf = (name: string) => join(fixture.directory, name);
  const rootOf = (name: string) => readFile(join(folderOf(name), 'root-cert.pem'), 'utf8');
  for (const name of ['before', 'after']) await openAuthorityDirectory(folderOf(name), MESH, Date.now());
  const sign = async (issuer: string, roots: readonly string[]) => {
    const used = join(fixture.directory, 'state', 'ca');
    await rm(used, { recursive: true, force: true });
    await mkdir(used, { recursive: true });
    for (const file of ISSUING_FILES) await copyFile(join(folderOf(issuer), file), join(used, file));
    await writeFile(join(used, 'root-cert.pem'), (await Promise.all(roots.map(rootOf))).join(''));
  };
  return {
    fixture,
    before: await rootOf('before'),
    after: await rootOf('after'),
    /** The former authority signs, and both roots are handed out. */
    beginChange: () => sign('before', ['before', 'after']),
    /** The new one is all there is. */
    endChange: () => sign('after', ['after']),
  };
}

const untilEnd = (expiresAtMs: number) =>
  eventually('the certificate has ended', () => Date.now() > expiresAtMs, SHORT_LIFE_MS + 1_000);

t.test('a sidecar that restarts after the root has changed goes on by the roots it was handed', async (t) => {
  const { fixture, before, after, beginChange, endChange } = await twoAuthorities(t);
  const stateDirectory = join(fixture.directory, 'state-orders');
  const configured = { stateDirectory, trustBundlePem: before };
  await beginChange();
  await fixture.start({ leafLifetimeMs: SHORT_LIFE_MS });
  const tokenFile = await fixture.token({ isReusable: true });
  const first = await new SidecarFixture(fixture).connect({ ...configured, tokenFile });
  await first.close();
  await fixture.stop();
  await endChange();
  await untilEnd(first.credentials.current().expiresAtMs);
  await fixture.start();

  const byToken = await new SidecarFixture(fixture).connect({
    ...configured,
    tokenFile,
    signal: AbortSignal.timeout(ENROLMENT_MS),
  });
  t.equal(byToken.credentials.current().trustBundlePem, after, 'what is not configured signs for a token');
  await byToken.close();
  await fixture.stop();

  const sidecar = new SidecarFixture(fixture);
  const byState = await sidecar.connect({ ...configured, signal: AbortSignal.timeout(ENROLMENT_MS) });
  await byState.close();
  t.equal(byState.credentials.current().trustBundlePem, after);
  t.ok(
    sidecar.events.some(({ event }) => event === 'stored_identity_in_use'),
    'what was stored is of a root that is not configured',
  );
});

t.test('a certificate that ended while the root changed is made anew by token', async (t) => {
  const { fixture, before, after, beginChange, endChange } = await twoAuthorities(t);
  await beginChange();
  await fixture.start({ leafLifetimeMs: SHORT_LIFE_MS });
  const sidecar = new SidecarFixture(fixture);
  const tokenFile = await fixture.token({ isReusable: true });
  const connection = await sidecar.connect({ tokenFile, trustBundlePem: before });
  t.teardown(() => connection.close());
  await fixture.stop();
  await endChange();
  await eventually('it has ended', () => sidecar.events.some(({ event }) => event === 'certificate_expired'), 10_000);
  await fixture.start();
  await eventually('it is of the new root', () => connection.credentials.current().trustBundlePem === after, 10_000);
  t.equal(fixture.events.findLast(({ event }) => event === 'certificate_signed')?.fields['by'], 'token');
});

t.test('roots that were handed out do not count where the operator has configured others', async (t) => {
  const { fixture, before, after, beginChange } = await twoAuthorities(t);
  const stateDirectory = join(fixture.directory, 'state-orders');
  await beginChange();
  await fixture.start();
  const tokenFile = await fixture.token({ isReusable: true });
  const first = await new SidecarFixture(fixture).connect({ tokenFile, stateDirectory, trustBundlePem: before });
  await first.close();
  const signed = () => fixture.events.filter(({ event }) => event === 'certificate_signed').length;
  t.equal(signed(), 1);

  const sidecar = new SidecarFixture(fixture);
  const connection = await sidecar.connect({ tokenFile, stateDirectory, trustBundlePem: after });
  t.teardown(() => connection.close());
  const ended = t.rejects(connection.policies.start(async () => {}));
  const unreachable = () => sidecar.events.find(({ event }) => event === 'control_plane_unreachable');
  await eventually('a reason', () => unreachable() !== undefined);
  t.match(unreachable()?.fields['reason'], 'not of the roots in the trust bundle');
  const failure = () => connection.renewals.failure;
  await eventually('it tried to get another certificate', () => failure() !== undefined, RENEWED_WITHIN_MS);
  await connection.close();
  await ended;
  t.equal(signed(), 1, 'the token was not sent');
});

t.test(
  'a certificate that lasts but whose root has gone is made anew by token, running and after a restart',
  async (t) => {
    const { fixture, before, after, beginChange, endChange } = await twoAuthorities(t);
    await beginChange();
    await fixture.start();
    const tokenFile = await fixture.token({ isReusable: true });
    const configured = { tokenFile, trustBundlePem: before };
    const running = await new SidecarFixture(fixture).connect(configured);
    t.teardown(() => running.close());
    await running.policies.start(async () => {});
    const stateDirectory = join(fixture.directory, 'state-orders');
    const stopped = await new SidecarFixture(fixture).connect({ ...configured, stateDirectory });
    await stopped.close();
    await fixture.stop();
    await endChange();
    await fixture.start();

    const sidecar = new SidecarFixture(fixture);
    const restarted = await sidecar.connect({ ...configured, stateDirectory });
    t.teardown(() => restarted.close());
    t.ok(sidecar.events.some(({ event }) => event === 'stored_identity_in_use'));
    const starting = restarted.policies.start(async () => {});
    const isRenewed = () => [running, restarted].every(({ renewals }) => renewals.renewals > 0);
    await eventually('both have others', isRenewed, RENEWED_WITHIN_MS);
    await starting;
    for (const { credentials } of [running, restarted]) {
      t.ok(endsInRoot(credentials.current().certificateChainPem, after));
    }
  },
);

t.test('a certificate of the former root is in use after a restart with the new root alone configured', async (t) => {
  const { fixture, before, after, beginChange, endChange } = await twoAuthorities(t);
  const stateDirectory = join(fixture.directory, 'state-orders');
  await beginChange();
  await fixture.start();
  const first = await new SidecarFixture(fixture).connect({
    tokenFile: await fixture.token(),
    stateDirectory,
    trustBundlePem: before,
  });
  await first.close();
  await fixture.stop();
  await endChange();
  await appendFile(join(fixture.directory, 'state', 'ca', 'root-cert.pem'), before);
  await fixture.start();

  const again = await new SidecarFixture(fixture).connect({
    stateDirectory,
    trustBundlePem: after,
    signal: AbortSignal.timeout(ENROLMENT_MS),
  });
  t.teardown(() => again.close());
  await again.policies.start(async () => {});
  await eventually('it is renewed early', () => again.renewals.renewals > 0, RENEWED_WITHIN_MS);
  t.ok(endsInRoot(again.credentials.current().certificateChainPem, after));
});
