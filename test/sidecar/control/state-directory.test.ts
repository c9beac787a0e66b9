import { chmod, chown, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { snapshotOf } from '#policy/resource/resource-document.ts';
import { openStateDirectory } from '#sidecar/control/state-directory.ts';

const ORDERS = spiffeId('cluster.local', 'shop', 'orders');
const IDENTITY = {
  credentials: {
    identity: ORDERS,
    certificateChainPem: 'chain',
    privateKeyPem: 'key',
    trustBundlePem: 'roots',
    expiresAtMs: 1,
  },
  receivedAtMs: 0,
  areRootsOfMesh: false,
  configuredRootsPem: undefined,
};

t.test(
  'what is kept is private: the directory 0700, its files 0600, also where the directory was open to all',
  async (t) => {
    const directory = t.testdir();
    await chmod(directory, 0o777);
    const state = openStateDirectory(directory);
    await state.writeIdentity(IDENTITY);
    await state.writeSnapshot(ORDERS, snapshotOf([]));
    t.equal((await stat(directory)).mode & 0o777, 0o700);
    const names = (await readdir(directory)).sort();
    t.strictSame(names, ['identity.json', 'snapshot.json']);
    for (const name of names) t.equal((await stat(join(directory, name))).mode & 0o777, 0o600, name);
    t.match(await state.readIdentity(ORDERS), { value: { credentials: { privateKeyPem: 'key' } } });
  },
);

t.test('a key that others can read or write is not used, and the reason names file and mode', async (t) => {
  const directory = t.testdir();
  const state = openStateDirectory(directory);
  await state.writeIdentity(IDENTITY);
  for (const mode of [0o640, 0o604, 0o620]) {
    await chmod(join(directory, 'identity.json'), mode);
    const { value, complaint } = await state.readIdentity(ORDERS);
    t.equal(value, undefined);
    t.match(complaint, new RegExp(`identity\\.json: mode ${mode.toString(8)} lets others read it`));
  }
});

const isRoot = process.getuid?.() === 0;

t.test(
  "somebody else's directory gets no key, and its own say counts for nothing",
  { skip: isRoot ? false : 'needs root' },
  async (t) => {
    const directory = join(t.testdir(), 'theirs');
    await mkdir(directory);
    await openStateDirectory(directory).writeIdentity(IDENTITY);
    await chown(directory, 12_345, 12_345);
    const state = openStateDirectory(directory);
    t.match(await state.readIdentity(ORDERS), { value: undefined, complaint: /belongs to user 12345/ });
    t.match(await state.readSnapshot(ORDERS), { value: undefined, complaint: /belongs to user 12345/ });
    await t.rejects(state.writeSnapshot(ORDERS, snapshotOf([])), /belongs to user 12345/);
    t.strictSame(await readdir(directory), ['identity.json']);
  },
);
