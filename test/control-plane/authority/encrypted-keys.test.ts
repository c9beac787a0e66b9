import { randomBytes } from 'node:crypto';
import { chmod, cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AuthorityKeeper } from '#control-plane/authority/authority-keeper.ts';
import { FORMER_TEXT, STATE_TEXT } from '#control-plane/authority/authority-state.ts';
import { directoryBackend, stateFile } from '#control-plane/authority/directory-backend.ts';
import { encryptedBackend, encryptedState } from '#control-plane/authority/encrypted-state.ts';
import { type KeyWrapping, keyIdOf, localKeyWrapping } from '#control-plane/authority/key-wrapping.ts';
import type { AuthorityBackend } from '#control-plane/authority/state-store.ts';
import { KubernetesSecret } from '#control-plane/kubernetes/identity/secret.ts';
import { secretBackend } from '#control-plane/kubernetes/identity/secret-backend.ts';
import { ApiServer, noApiServer } from '../../support/api-server.ts';
import { type Event, MESH } from '../control-plane-fixture.ts';
import { RotationFixture, sidecar } from './rotation-fixture.ts';

const KEYS = ['ca-key.pem', 'root-key.pem'];

/** The authority of a backend as a control plane opens it, with these keys; none: without encryption. */
async function open(backend: AuthorityBackend, keys: readonly Buffer[]) {
  const events: Event[] = [];
  const log = (event: string, fields = {}) => void events.push({ event, fields });
  const wrapping = keys.length === 0 ? undefined : localKeyWrapping(keys);
  const keeper = new AuthorityKeeper({
    backend: encryptedBackend(backend, wrapping, log),
    mesh: MESH,
    leafLifetimeMs: 3_600_000,
    isLeader: () => true,
    log,
    signal: new AbortController().signal,
  });
  try {
    return { ...(await keeper.open()), events };
  } finally {
    await keeper.close();
  }
}

const opened = (directory: string, ...keys: Buffer[]) => open(directoryBackend(directory), keys);

async function texts(directory: string) {
  return Promise.all(KEYS.map((name) => readFile(join(directory, name), 'utf8')));
}

const isEncrypted = (text: string) => text.startsWith('-----BEGIN LATERAL ENCRYPTED KEY-----');

t.test('keys are made encrypted, and the next start reads them', async (t) => {
  const directory = join(t.testdir(), 'ca');
  const key = randomBytes(32);
  const first = await opened(directory, key);
  const stored = await texts(directory);
  t.ok(stored.every(isEncrypted));
  for (const name of await readdir(directory)) {
    t.notMatch(await readFile(join(directory, name), 'utf8'), /PRIVATE KEY/, name);
  }
  const second = await opened(directory, key);
  t.ok(second.material.issuer.privateKey.equals(first.material.issuer.privateKey));
  t.strictSame(await texts(directory), stored, 'nothing is written again');
});

t.test('plain keys of our making are encrypted in their place, and said so; certificates stay', async (t) => {
  const directory = join(t.testdir(), 'ca');
  const plain = await opened(directory);
  t.notOk((await texts(directory)).some(isEncrypted));
  const key = randomBytes(32);
  const { material, events } = await opened(directory, key);
  t.ok((await texts(directory)).every(isEncrypted));
  t.ok(material.issuer.privateKey.equals(plain.material.issuer.privateKey));
  t.strictSame(material.roots, plain.material.roots);
  const told = events.find(({ event }) => event === 'authority_keys_encrypted');
  t.match(told?.fields.files, [/root-key\.pem$/, /ca-key\.pem$/]);
  t.strictSame((await opened(directory, key)).events, [], 'once');
});

t.test('a start that was cut off between two keys is gone on with', async (t) => {
  const base = t.testdir();
  const plain = join(base, 'plain');
  const { material } = await opened(plain);
  const key = randomBytes(32);
  const encrypted = join(base, 'encrypted');
  await cp(plain, encrypted, { recursive: true });
  await opened(encrypted, key);
  for (const name of KEYS) {
    const halfway = join(base, `halfway-${name}`);
    await cp(plain, halfway, { recursive: true });
    await cp(join(encrypted, name), join(halfway, name));
    const mended = await opened(halfway, key);
    t.ok((await texts(halfway)).every(isEncrypted), name);
    t.ok(mended.material.issuer.privateKey.equals(material.issuer.privateKey), name);
    t.strictSame(mended.material.roots, material.roots, name);
  }
});

t.test('without the key nothing starts, and nothing is made anew: the reason tells what is missing', async (t) => {
  const directory = join(t.testdir(), 'ca');
  const [key, other] = [randomBytes(32), randomBytes(32)];
  await opened(directory, key);
  const before = await Promise.all((await readdir(directory)).map((name) => readFile(join(directory, name), 'utf8')));
  await t.rejects(opened(directory), {
    message: `${join(directory, 'root-key.pem')}: is encrypted; name the key it was encrypted by in authority.keyEncryption`,
  });
  await t.rejects(opened(directory, other), {
    message: `${join(directory, 'root-key.pem')}: is encrypted by the key with ID ${keyIdOf(key)}, and configured is ${keyIdOf(other)}`,
  });
  const [issuingKey = '', rootKey = ''] = await texts(directory);
  await writeFile(join(directory, 'ca-key.pem'), rootKey);
  await t.rejects(opened(directory, key), /ca-key\.pem: was changed, or is not ca-key\.pem/);
  await writeFile(join(directory, 'ca-key.pem'), issuingKey.slice(0, -60));
  await t.rejects(opened(directory, key), /ca-key\.pem: is not a whole encrypted key/);
  await writeFile(join(directory, 'ca-key.pem'), issuingKey);
  const after = await Promise.all((await readdir(directory)).map((name) => readFile(join(directory, name), 'utf8')));
  t.strictSame(after, before);
});

t.test('a new key before the old one encrypts all anew', async (t) => {
  const directory = join(t.testdir(), 'ca');
  const [former, current] = [randomBytes(32), randomBytes(32)];
  const first = await opened(directory, former);
  const second = await opened(directory, current, former);
  t.ok(second.material.issuer.privateKey.equals(first.material.issuer.privateKey));
  const third = await opened(directory, current);
  t.ok(third.material.issuer.privateKey.equals(first.material.issuer.privateKey));
});

t.test('a plugged-in key stays as it is, and the log says so', async (t) => {
  const directory = join(t.testdir(), 'ca');
  await opened(directory);
  await rm(join(directory, 'root-key.pem'));
  const plain = await readFile(join(directory, 'ca-key.pem'), 'utf8');
  const { events } = await opened(directory, randomBytes(32));
  t.equal(await readFile(join(directory, 'ca-key.pem'), 'utf8'), plain);
  t.match(events, [{ event: 'authority_key_not_encrypted', fields: { file: join(directory, 'ca-key.pem') } }]);
});

t.test('an encrypted key is as private as a plain one', async (t) => {
  const directory = join(t.testdir(), 'ca');
  const key = randomBytes(32);
  await opened(directory, key);
  await chmod(join(directory, 'ca-key.pem'), 0o640);
  await t.rejects(opened(directory, key), /ca-key\.pem: mode 640 lets others read the key; run chmod 600/);
});

t.test('texts beside the files are encrypted whole where they may hold keys', async (t) => {
  const path = join(t.testdir(), 'authority-state.json');
  const store = stateFile(path);
  const key = randomBytes(32);
  const events: string[] = [];
  const log = (event: string) => void events.push(event);
  const told = { [FORMER_TEXT]: '[{"key":"-----BEGIN PRIVATE KEY-----"}]', [STATE_TEXT]: '{"rotation":{"key":"x"}}' };
  const plain = (await store.read())?.version ?? '';
  t.equal(await store.write({ ...told, other: '"of somebody else"' }, plain), 'written');
  const state = encryptedState(store, localKeyWrapping([key]), log);
  const read = await state.read();
  t.strictSame(read?.texts, { ...told, other: '"of somebody else"' });
  t.strictSame(events, ['authority_keys_encrypted']);
  const kept = await readFile(path, 'utf8');
  t.notMatch(kept, /PRIVATE KEY|rotation/);
  t.match(kept, /of somebody else/);
  t.equal(await state.write({ [STATE_TEXT]: '{"a":1}' }, 'another version'), 'conflict');
  t.equal(await state.write({ [STATE_TEXT]: '{"a":1}' }, read?.version ?? ''), 'written');
  t.strictSame((await state.read())?.texts, { [STATE_TEXT]: '{"a":1}' });
  await t.rejects(encryptedState(store, undefined, log).read(), /authority-state\.json is encrypted; name the key/);
  await t.rejects(
    encryptedState(store, localKeyWrapping([randomBytes(32)]), log).read(),
    /authority-state\.json is encrypted by the key with ID/,
  );
});

t.test('through a change of the root no key is written plain, and a restart at each stage goes on', async (t) => {
  const fixture = new RotationFixture(t);
  const key = randomBytes(32);
  const by = (wrapping: KeyWrapping | undefined) => (backend: AuthorityBackend) =>
    encryptedBackend(backend, wrapping, () => {});
  const wrap = by(localKeyWrapping([key]));
  const isHidden = async (stage: string) => {
    for (const name of await readdir(fixture.directory)) {
      t.notMatch(await readFile(join(fixture.directory, name), 'utf8'), /PRIVATE KEY/, `${stage}: ${name}`);
    }
  };
  await fixture.start(wrap);
  const before = fixture.leaf();
  fixture.sidecars = [sidecar('a')];
  await fixture.running.operations.make({ kind: 'rotate' }, 'the test');
  await isHidden('trusting');
  fixture.crash();
  await fixture.start(wrap);
  fixture.sidecars = [sidecar('a', { trusts: true })];
  await fixture.running.rotation.step();
  t.equal((await fixture.running.operations.facts()).stage, 'signing');
  await isHidden('signing');
  fixture.crash();
  await t.rejects(fixture.start(by(undefined)), /is encrypted; name the key it was encrypted by/);
  await fixture.start(wrap);
  const { trustBundle } = fixture.running.authority;
  t.equal(trustBundle.length, 2);
  t.ok(fixture.verifies(before, trustBundle) && fixture.verifies(fixture.leaf(), trustBundle));
  await isHidden('afterwards');
});

/** Decoded values of a Secret as the API server has it. */
async function secretData(secret: KubernetesSecret): Promise<Record<string, string>> {
  const { data = {} } = (await secret.read()) ?? {};
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, value.toString('utf8')]));
}

t.test(
  'in Secrets likewise; of two control planes that encrypt at the same time both read',
  { skip: noApiServer ?? false },
  async (t: Test) => {
    const api = new ApiServer(t.testdir());
    t.teardown(() => api.stop());
    await api.start();
    await api.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: MESH.rootNamespace } });
    const secretOf = (name: string) => new KubernetesSecret(api.client, MESH.rootNamespace, name);
    for (const name of ['lateral-ca', 'lateral-former-authorities']) {
      const metadata = { name, namespace: MESH.rootNamespace };
      await api.create({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque' });
    }
    const backend = () => secretBackend('lateral-ca', secretOf);
    const plain = await open(backend(), []);
    t.match(await secretData(secretOf('lateral-ca')), { 'ca-key.pem': /PRIVATE KEY/ });
    const key = randomBytes(32);
    const both = await Promise.all([open(backend(), [key]), open(backend(), [key])]);
    for (const { material } of both) t.ok(material.issuer.privateKey.equals(plain.material.issuer.privateKey));
    const data = await secretData(secretOf('lateral-ca'));
    t.ok(KEYS.every((name) => isEncrypted(data[name] ?? '')));
    t.notMatch(JSON.stringify(data), /PRIVATE KEY/);
    await t.rejects(
      open(backend(), []),
      /Secret lateral-system\/lateral-ca: root-key\.pem: is encrypted; name the key/,
    );
  },
);
