import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { AuthorityFile, StoredAuthority } from '#control-plane/authority/authority-store.ts';
import { STATE_FILE } from '#control-plane/authority/directory-backend.ts';
import type { AuthorityBackend } from '#control-plane/authority/state-store.ts';
import { RECONNECT_MS } from '#control-plane/authority/trust-judgement.ts';
import { RotationFixture, sidecar } from './rotation-fixture.ts';

const CRASH = new Error('the power went');
const FILES: readonly AuthorityFile[] = ['rootKey', 'root', 'issuingKey', 'chain', 'issuing'];

/** Ends as the n-th step of writing begins: each text of the state is one, and each file of the authority. */
function endingAt(step: number): (backend: AuthorityBackend) => AuthorityBackend {
  let steps = 0;
  const next = () => {
    steps += 1;
    if (steps > step) throw CRASH;
  };
  return (backend) => ({
    ...backend,
    watch() {}, // nothing but the test moves it
    authority: {
      ...backend.authority,
      async write(files) {
        for (const file of FILES) {
          if (files[file] === undefined) continue;
          next();
          const one: Partial<StoredAuthority> = { [file]: files[file] };
          await backend.authority.write(one);
        }
        return 'written';
      },
    },
    state: {
      ...backend.state,
      async write(texts, version) {
        next();
        return backend.state.write(texts, version);
      },
    },
  });
}

/** The state, the five files, the state. */
const STEPS = 7;

for (let step = 0; step <= STEPS; step += 1) {
  t.test(`a promotion that is cut off before step ${step + 1} of ${STEPS} is ended by the next start`, async (t) => {
    const fixture = new RotationFixture(t);
    await fixture.start();
    const [oldRoot = Buffer.of()] = fixture.running.authority.trustBundle;
    const before = fixture.leaf();
    await fixture.running.operations.make({ kind: 'rotate' }, 'the test');
    const [, nextRoot = Buffer.of()] = fixture.running.authority.trustBundle;
    fixture.sidecars = [sidecar('a', { trusts: true })];
    fixture.crash();
    await fixture.start(endingAt(step));
    await fixture.running.rotation.step();
    const isCutOff = step < STEPS;
    t.equal(fixture.named('root_rotation_failed').length, isCutOff ? 1 : 0);
    if (isCutOff) t.match(fixture.leaf().length, 2, 'it goes on with what it has');
    fixture.crash();

    await fixture.start();
    const { authority, operations, rotation } = fixture.running;
    await rotation.step();
    t.equal((await operations.facts()).stage, 'signing');
    t.strictSame(authority.trustBundle, [nextRoot, oldRoot], 'the one root that was handed out, and the old one');
    t.ok(fixture.verifies(fixture.leaf(), [nextRoot]));
    t.ok(fixture.verifies(before, authority.trustBundle));
    const state = await readFile(join(fixture.directory, STATE_FILE), 'utf8');
    t.notMatch(state, /PRIVATE KEY/, 'the old keys are gone, and the new ones are where they belong');
    t.equal(fixture.named('former_authority_kept').length, 0, 'nobody took it for a change of the files');
  });
}

t.test('one that was begun and cut off before anything was trusted can be begun again', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start(endingAt(5)); // the five files of the first start
  await t.rejects(
    fixture.running.operations.make({ kind: 'rotate' }, 'the test'),
    /could not be stored: .*nothing was changed/,
  );
  t.equal(fixture.running.authority.trustBundle.length, 1);
  fixture.crash();
  await fixture.start();
  t.equal((await fixture.running.operations.make({ kind: 'rotate' }, 'the test')).stage, 'trusting');
});

t.test('the retirement that is cut off is done by the next', async (t) => {
  const fixture = new RotationFixture(t);
  await fixture.start();
  await fixture.running.operations.make({ kind: 'rotate' }, 'the test');
  await fixture.running.rotation.step();
  const { retiresAt } = await fixture.running.operations.facts();
  fixture.crash();
  fixture.nowMs = Date.parse(retiresAt ?? '') + RECONNECT_MS;
  await fixture.start(endingAt(0));
  await fixture.running.rotation.step();
  t.equal(fixture.running.authority.trustBundle.length, 1, 'by the clock, whatever is stored');
  fixture.crash();
  await fixture.start();
  await fixture.running.rotation.step();
  t.equal((await fixture.running.operations.facts()).stage, 'none');
});
