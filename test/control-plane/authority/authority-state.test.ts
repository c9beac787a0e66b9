import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import { STATE_FILE } from '#control-plane/authority/directory-backend.ts';
import { LeafEnds } from '#control-plane/authority/leaf-ends.ts';
import {
  NO_REVOCATIONS,
  SERIAL_KEPT_MS,
  serialText,
  withIdentity,
  withSerial,
} from '#control-plane/authority/revocations.ts';
import { MAX_REVOCATIONS } from '#policy/resource/kinds/revocation-list.ts';
import { eventually, MESH } from '../control-plane-fixture.ts';
import { LIFE_MS, RotationFixture } from './rotation-fixture.ts';

t.test('what is revoked stays so across restarts, serial numbers until their certificates end', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { operations, authority } = fixture.running;
  let told = 0;
  authority.revocations.onChange(() => told++);
  const identity = 'spiffe://cluster.local/ns/shop/sa/web';
  await operations.make(
    { kind: 'revoke', subject: { kind: 'identity', identity: 'shop/web' }, untilMs: undefined },
    't',
  );
  const untilMs = fixture.nowMs + 1_000;
  await operations.make({ kind: 'revoke', subject: { kind: 'serial', serial: '00:AB:CD' }, untilMs }, 't');
  await operations.make({ kind: 'revoke', subject: { kind: 'serial', serial: 'ef01' }, untilMs: undefined }, 't');
  t.equal(told, 3);
  fixture.crash();
  await fixture.start();
  const { revocations } = fixture.running.authority;
  t.match(revocations.isRevoked(identity, '01'), /sa\/web is revoked/);
  t.match(revocations.isRevoked('spiffe://cluster.local/ns/shop/sa/other', 'ABCD'), /serial number abcd is revoked/);
  t.match(revocations.isRevoked('x', 'EF01'), /ef01 is revoked/);
  t.equal(revocations.isRevoked('x', 'EF02'), undefined);
  fixture.nowMs = untilMs;
  t.equal(revocations.isRevoked('x', 'ABCD'), undefined, 'its certificate has ended');
  const facts = await fixture.running.operations.make(
    { kind: 'reinstate', subject: { kind: 'identity', identity } },
    't',
  );
  t.strictSame(facts.revocations.identities, []);
  t.strictSame(
    facts.revocations.serials.map(({ serial }) => serial),
    ['ef01'],
    'and what has ended is not kept',
  );
  t.equal(Date.parse(facts.revocations.serials[0]?.until ?? ''), untilMs - 1_000 + SERIAL_KEPT_MS);
});

t.test('revocations are bounded, and one that is there already takes no more room', (t) => {
  let entries = NO_REVOCATIONS;
  for (let count = 0; count < MAX_REVOCATIONS; count += 1) entries = withIdentity(entries, `id-${count}`, 0);
  t.equal(withIdentity(entries, 'id-7', 0), entries);
  t.throws(() => withIdentity(entries, 'one more', 0), /4096 identities are revoked, which is the most/);
  const one = withSerial(NO_REVOCATIONS, 'ab', 10, 0);
  t.equal(withSerial(one, 'ab', 5, 1), one, 'its later end stands');
  t.strictSame(withSerial(one, 'ab', 20, 1).serials, [{ serial: 'ab', atMs: 0, untilMs: 20 }]);
  t.end();
});

t.test('a serial number is the same however it is written', (t) => {
  for (const text of ['0a1b', 'A1B', '0A:1B', '0x0a1b', '000A1B']) t.equal(serialText(text), '0a1b', text);
  for (const text of ['', '0', 'g1', 'ab'.repeat(21)]) t.equal(serialText(text), undefined, text);
  t.end();
});

t.test('a state that cannot be read, or that others can, lets nothing start', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  await fixture.running.operations.make({ kind: 'rotate' }, 't');
  fixture.crash();
  const path = join(fixture.directory, STATE_FILE);
  const text = await readFile(path, 'utf8');
  for (const [broken, message] of [
    [text.slice(0, -20), /authority-state\.json: cannot be read/],
    ['[]', /is not the state of an authority/],
    [text.replace('"trusting"', '"trustin"'), /a rotation in stage "trustin"/],
    [text.replace('"root-key.pem"', '"root-ky.pem"'), /without root-key\.pem/],
    [
      text.replace('"revokedIdentities": []', '"revokedIdentities": [{"id": "nobody", "at": "2026-01-01"}]'),
      /a revoked identity "nobody"/,
    ],
    [text.replace('"revokedSerials": []', '"revokedSerials": 7'), /no list of revocations/],
  ] as const) {
    t.not(broken, text);
    await writeFile(path, broken);
    await t.rejects(fixture.start(), message);
  }
  await writeFile(path, text);
  await chmod(path, 0o640);
  await t.rejects(fixture.start(), /mode 640 lets others read the keys in it; run chmod 600/);
  await chmod(path, 0o600);
  await fixture.start();
  await writeFile(path, 'half');
  await fixture.running.keeper.change((state) => state).catch(() => {});
  t.equal((await fixture.running.operations.facts()).stage, 'trusting', 'what is in force stays so');
});

t.test(
  'a plugged-in set is put in force without a restart once it is whole, and a broken one is told of',
  async (t) => {
    const fixture = new RotationFixture(t);
    const other = `${fixture.directory}-other`;
    await openAuthorityDirectory(other, MESH, fixture.nowMs);
    await mkdir(fixture.directory, { recursive: true });
    await fixture.start();
    const before = fixture.leaf();
    const { authority } = fixture.running;
    const [oldRoot = Buffer.of()] = authority.trustBundle;
    const put = (name: string) => copyFile(join(other, name), join(fixture.directory, name));
    await rm(join(fixture.directory, 'root-key.pem'));
    for (const name of ['ca-key.pem', 'root-cert.pem']) await put(name);
    await eventually('it is told of', () => fixture.named('authority_unreadable').length > 0);
    t.match(fixture.named('authority_unreadable').at(-1)?.fields, {
      error: /ca-key.pem: is not the key of ca-cert.pem/,
    });
    t.ok(fixture.verifies(fixture.leaf(), [oldRoot]), 'the last good one signs on');
    for (const name of ['ca-cert.pem', 'cert-chain.pem']) await put(name);
    await eventually('the new one is trusted', () => authority.trustBundle.length === 2);
    t.ok(fixture.verifies(before, authority.trustBundle));
    t.ok(
      fixture.verifies(fixture.leaf(), [oldRoot]),
      'and signs once everybody was renewed: the former one does till then',
    );
    fixture.nowMs += LIFE_MS;
    t.notOk(fixture.verifies(fixture.leaf(), [oldRoot]));
    t.ok(fixture.verifies(fixture.leaf(), authority.trustBundle));
    await fixture.start();
    t.equal(fixture.running.authority.trustBundle.length, 2, 'a restart knows of the former one');
    const count = fixture.named('authority_unreadable').length;
    await rm(join(fixture.directory, 'root-cert.pem'));
    for (const name of ['ca-key.pem', 'ca-cert.pem', 'cert-chain.pem']) await rm(join(fixture.directory, name));
    await eventually('it is told of', () => fixture.named('authority_unreadable').length > count);
    t.match(fixture.named('authority_unreadable').at(-1)?.fields, {
      error: /root-cert.pem: it was there, and is missing/,
    });
    t.ok(fixture.leaf(), 'files that are taken away are not made anew while it runs');
  },
);

t.test('the end of leaves is marked ahead of what is signed, and seldom', (t) => {
  const marks: number[] = [];
  const ends = new LeafEnds(48_000, (markMs) => marks.push(markMs));
  ends.known(undefined);
  for (let atMs = 48_000; atMs <= 58_000; atMs += 100) {
    ends.signed(atMs);
    t.ok((marks.at(-1) ?? 0) >= atMs + 1_000, 'also where storing the next fails for a while');
  }
  t.ok(marks.length <= 11, `${marks.length} times in 10 s`);
  const later = new LeafEnds(48_000, () => t.fail('nothing new'));
  later.known(200_000);
  later.known(100_000);
  later.signed(150_000);
  t.end();
});

t.test('what is being stored at the end is stored, and nothing after it', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { keeper } = fixture.running;
  const marked = keeper.change((state) => ({ ...state, leavesEndMs: 1_000 }));
  await keeper.close();
  await marked;
  await t.rejects(
    keeper.change((state) => ({ ...state, leavesEndMs: 2_000 })),
    /the control plane ends/,
  );
  t.match(await readFile(join(fixture.directory, STATE_FILE), 'utf8'), /1970-01-01T00:00:01/);
});
