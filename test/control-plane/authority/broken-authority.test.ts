import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import { ISSUER_LIFETIME_MS } from '#control-plane/authority/authority-store.ts';
import { STATE_FILE } from '#control-plane/authority/directory-backend.ts';
import { eventually, MESH } from '../control-plane-fixture.ts';
import { RotationFixture, WEB } from './rotation-fixture.ts';

t.test('a revocation is in force though the files of the authority cannot be read', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { authority, operations } = fixture.running;
  const [root] = authority.trustBundle;
  await writeFile(join(fixture.directory, 'root-cert.pem'), 'broken');
  const subject = { kind: 'identity', identity: WEB.uri } as const;
  const facts = await operations.make({ kind: 'revoke', subject, untilMs: undefined }, 'the test');
  t.match(fixture.named('authority_unreadable'), [{ fields: { error: /root-cert.pem: holds no certificate/ } }]);
  t.match(facts.revocations.identities, [{ id: WEB.uri }]);
  t.match(authority.revocations.isRevoked(WEB.uri, ''), /revoked/);
  t.ok(fixture.verifies(fixture.leaf(), root === undefined ? [] : [root]), 'and the last good issuer signs');
  await operations.make({ kind: 'reinstate', subject }, 'the test');
  t.equal(authority.revocations.isRevoked(WEB.uri, ''), undefined);
});

t.test('an issuer that is being put in over one of our making is never overwritten while it runs', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { authority } = fixture.running;
  const [root = Buffer.of()] = authority.trustBundle;
  const other = `${fixture.directory}-other`;
  await openAuthorityDirectory(other, MESH, fixture.nowMs - ISSUER_LIFETIME_MS + 86_400_000);
  const told = () => fixture.named('authority_unreadable').map(({ fields }) => String(fields.error));
  for (const [name, complaint] of [
    ['ca-key.pem', /ca-key.pem: is not the key/],
    ['ca-cert.pem', /cert-chain.pem: the issuer/], // it fits its key, and its end is near
  ] as const) {
    await copyFile(join(other, name), join(fixture.directory, name));
    await fixture.running.keeper.change((state) => state);
    await eventually(`${name} is told of`, () => told().some((error) => complaint.test(error)));
    const [theirs, now] = await Promise.all([other, fixture.directory].map((at) => readFile(join(at, name), 'utf8')));
    t.equal(now, theirs, `${name} is as it was put`);
    t.ok(fixture.verifies(fixture.leaf(), [root]), 'the last good one signs on');
  }
});

t.test('a state that is taken away while it runs reinstates nobody, and is written again', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  const { authority, keeper, operations } = fixture.running;
  const subject = { kind: 'identity', identity: WEB.uri } as const;
  await operations.make({ kind: 'revoke', subject, untilMs: undefined }, 'the test');
  const path = join(fixture.directory, STATE_FILE);
  for (const time of ['once', 'and again']) {
    await rm(path);
    await keeper.change((state) => state);
    t.match(authority.revocations.isRevoked(WEB.uri, ''), /revoked/, time);
    t.match(await readFile(path, 'utf8'), WEB.uri);
  }
  t.match(fixture.named('authority_state_not_stored'), [{ fields: { error: /taken away/ } }]);
});
