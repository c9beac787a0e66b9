import { copyFile, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import { ChangeRefused } from '#control-plane/authority/authority-operations.ts';
import { STATE_FILE } from '#control-plane/authority/directory-backend.ts';
import { CLOCK_DIFFERENCE_MS } from '#control-plane/authority/former-authority.ts';
import { RECONNECT_MS } from '#control-plane/authority/trust-judgement.ts';
import { MESH } from '../control-plane-fixture.ts';
import { LIFE_MS, RotationFixture, sidecar } from './rotation-fixture.ts';

t.test(
  'a root goes through its stages: trusted before it signs, the old one trusted until its last leaf has ended',
  async (t) => {
    const fixture = new RotationFixture(t);
    await fixture.start();
    const { authority, rotation, operations } = fixture.running;
    const [oldRoot] = authority.trustBundle;
    const oldRoots = oldRoot === undefined ? [] : [oldRoot];
    const before = fixture.leaf();
    fixture.sidecars = [sidecar('a'), sidecar('b', { trusts: true })];

    const begun = await operations.make({ kind: 'rotate' }, 'the test');
    t.equal(begun.stage, 'trusting');
    t.strictSame(
      begun.roots.map(({ role }) => role),
      ['own', 'next'],
    );
    t.match(begun.waitsFor, { pending: ['shop/a'], pendingCount: 1, trusting: 1 });
    t.equal(authority.trustBundle.length, 2, 'both roots are trusted');
    await rotation.step();
    t.ok(
      fixture.verifies(fixture.leaf(), oldRoots),
      'signed by the old one, as long as one sidecar does not know the new one',
    );
    await t.rejects(operations.make({ kind: 'rotate' }, 'the test'), /under way since .* stage trusting/);
    await t.rejects(operations.make({ kind: 'finish', isForced: false }, 'the test'), /goes on by itself/);

    fixture.sidecars = [sidecar('a', { trusts: true })];
    await rotation.step();
    const signing = await operations.facts();
    t.equal(signing.stage, 'signing');
    t.strictSame(
      signing.roots.map(({ role }) => role),
      ['own', 'former'],
    );
    const after = fixture.leaf();
    t.notOk(fixture.verifies(after, oldRoots), 'signed by the new one');
    t.ok(fixture.verifies(after, authority.trustBundle));
    t.ok(fixture.verifies(before, authority.trustBundle), 'and what the old one signed is good');
    const retiresMs = Date.parse(signing.retiresAt ?? '');
    t.equal(
      retiresMs,
      fixture.nowMs + LIFE_MS + CLOCK_DIFFERENCE_MS,
      'nobody knows what was signed: as long as any may live',
    );
    await t.rejects(
      operations.make({ kind: 'finish', isForced: false }, 'the test'),
      new RegExp(`good until ${signing.retiresAt}`),
    );

    fixture.nowMs = retiresMs - 1;
    await rotation.step();
    t.equal(authority.trustBundle.length, 2);
    fixture.nowMs = retiresMs;
    t.equal(authority.trustBundle.length, 1, 'to the moment');
    await rotation.step();
    t.equal((await operations.facts()).stage, 'none');
    const text = await readFile(join(fixture.directory, STATE_FILE), 'utf8');
    t.notMatch(text, /PRIVATE KEY|rotation/, 'nothing is left of it');
    t.equal((await stat(join(fixture.directory, STATE_FILE))).mode & 0o777, 0o600);
    t.equal((await operations.make({ kind: 'rotate' }, 'the test')).stage, 'trusting', 'and it can be done again');
  },
);

t.test('what has signed nothing yet can be taken back', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { rotation, operations, authority } = fixture.running;
  await t.rejects(operations.make({ kind: 'cancel' }, 'the test'), /no change of the root/);
  fixture.sidecars = [sidecar('a')];
  await operations.make({ kind: 'rotate' }, 'the test');
  const [, first] = authority.trustBundle;
  t.equal((await operations.make({ kind: 'cancel' }, 'the test')).stage, 'none');
  await rotation.step();
  t.equal(authority.trustBundle.length, 1);
  await operations.make({ kind: 'rotate' }, 'the test');
  const [, second] = authority.trustBundle;
  t.notOk(second?.equals(first ?? Buffer.of()), 'the next is another');
  fixture.sidecars = [];
  await rotation.step();
  await t.rejects(operations.make({ kind: 'cancel' }, 'the test'), /stage signing: .*not taken back/);
});

t.test('the last leaf that was really signed counts, where that is known', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { keeper, rotation, operations } = fixture.running;
  const leavesEndMs = fixture.nowMs + 3_600_000;
  await keeper.change((state) => ({ ...state, leavesEndMs }));
  await operations.make({ kind: 'rotate' }, 'the test');
  await rotation.step();
  t.equal(Date.parse((await operations.facts()).retiresAt ?? ''), leavesEndMs + CLOCK_DIFFERENCE_MS);
});

t.test('leaves that lived longer once are waited for, though they live shorter now', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { keeper, rotation, operations, authority } = fixture.running;
  const leavesEndMs = fixture.nowMs + 30 * LIFE_MS;
  await keeper.change((state) => ({ ...state, leavesEndMs }));
  await operations.make({ kind: 'rotate' }, 'the test');
  await rotation.step();
  await fixture.start();
  fixture.nowMs = leavesEndMs;
  t.equal(fixture.running.authority.trustBundle.length, 2, 'also by one that starts anew');
  t.equal(authority.trustBundle.length, 2);
});

t.test('who is away without the new root is waited for, until it cannot come back', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { rotation, operations } = fixture.running;
  const stage = async () => {
    await rotation.step();
    return (await operations.facts()).stage;
  };
  await operations.make({ kind: 'rotate' }, 'the test');
  const away = sidecar('away', { isConnected: false, untilMs: fixture.nowMs + 3_600_000 });
  fixture.sidecars = [away];
  t.equal(await stage(), 'trusting', 'it may come back with its certificate');
  t.match((await operations.facts()).waitsFor, { absent: [{ name: 'shop/away' }], pendingCount: 0 });
  fixture.sidecars = [away, sidecar('away')];
  t.equal(await stage(), 'trusting', 'it came back to another replica, and has not acknowledged yet');
  fixture.sidecars = [away];
  fixture.silent = ['10.0.0.7:15012'];
  t.equal(await stage(), 'trusting');
  t.strictSame((await operations.facts()).waitsFor?.silentReplicas, ['10.0.0.7:15012']);
  fixture.gone.add('shop/away');
  t.equal(await stage(), 'trusting', 'a silent replica may have any number of sidecars');
  fixture.silent = [];
  t.equal(await stage(), 'signing', 'a pod that is gone is not waited for');
});

t.test('certificates of those who are away end, and that is the end of waiting for them', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { rotation, operations } = fixture.running;
  await operations.make({ kind: 'rotate' }, 'the test');
  fixture.sidecars = [sidecar('away', { isConnected: false, untilMs: fixture.nowMs + 1_000 })];
  await rotation.step();
  t.equal((await operations.facts()).stage, 'trusting');
  fixture.nowMs += 1_000;
  await rotation.step();
  t.equal((await operations.facts()).stage, 'signing');
});

t.test('a control plane that has just started knows nobody yet, and takes nobody for all', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  await fixture.running.operations.make({ kind: 'rotate' }, 'the test');
  fixture.restartedNow();
  await fixture.start();
  const { rotation, operations } = fixture.running;
  await rotation.step();
  t.match(await operations.facts(), {
    stage: 'trusting',
    waitsFor: { settlesAt: new Date(fixture.nowMs + RECONNECT_MS).toISOString() },
  });
  fixture.nowMs += RECONNECT_MS;
  await rotation.step();
  t.equal((await operations.facts()).stage, 'signing');
});

t.test('where other meshes fetch the roots, they have the time for it before the next one signs', async (t) => {
  const fixture = new RotationFixture(t);
  fixture.noticeMs = 2 * RECONNECT_MS;
  await fixture.start();
  const { rotation, operations } = fixture.running;
  const startedMs = fixture.nowMs;
  await operations.make({ kind: 'rotate' }, 'the test');
  fixture.nowMs += 2 * RECONNECT_MS - 1;
  await rotation.step();
  t.match(await operations.facts(), {
    stage: 'trusting',
    waitsFor: { settlesAt: new Date(startedMs + 2 * RECONNECT_MS).toISOString() },
  });
  fixture.nowMs += 1;
  await rotation.step();
  t.equal((await operations.facts()).stage, 'signing');
});

t.test('by force it waits for nobody, and retires at once', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { rotation, operations, authority } = fixture.running;
  await t.rejects(operations.make({ kind: 'finish', isForced: true }, 'the test'), /no change of the root/);
  fixture.sidecars = [sidecar('stubborn')];
  await operations.make({ kind: 'rotate' }, 'the test');
  await rotation.step();
  t.equal((await operations.make({ kind: 'finish', isForced: true }, 'the test')).isForced, true);
  await rotation.step();
  t.equal((await operations.facts()).stage, 'signing');
  t.equal(authority.trustBundle.length, 2);
  t.equal((await operations.make({ kind: 'finish', isForced: true }, 'the test')).stage, 'none');
  t.equal(authority.trustBundle.length, 1);
  t.match(
    fixture.named('authority_operation').map(({ fields }) => fields),
    [
      { change: 'rotate', by: 'the test' },
      { change: 'finish', isForced: true },
      { change: 'finish', isForced: true },
    ],
  );
});

t.test('an authority that is replaced meanwhile ends the change: its next root was to follow another', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const other = `${fixture.directory}-other`;
  const { rotation, operations, keeper, authority } = fixture.running;
  await operations.make({ kind: 'rotate' }, 'the test');
  await openAuthorityDirectory(other, MESH, fixture.nowMs);
  await rm(join(fixture.directory, 'root-key.pem'));
  for (const name of ['root-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'ca-cert.pem']) {
    await copyFile(join(other, name), join(fixture.directory, name));
  }
  await keeper.change((state) => state); // as the watch will find it
  await rotation.step();
  t.equal((await operations.facts()).stage, 'none');
  t.equal(fixture.named('root_rotation_abandoned').length, 1);
  t.equal(authority.trustBundle.length, 2, 'the replaced one is a former authority');
  await t.rejects(operations.make({ kind: 'rotate' }, 'the test'), ChangeRefused);
  await operations.make({ kind: 'finish', isForced: true }, 'the test');
  await t.rejects(
    operations.make({ kind: 'rotate' }, 'the test'),
    /not of our making .*beside the old one in root-cert.pem/,
  );
});
