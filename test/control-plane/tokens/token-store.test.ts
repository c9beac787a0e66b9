import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openTokenStore } from '#control-plane/tokens/token-store.ts';

const grant = (expiresAtMs: number, isReusable = false) => ({
  namespace: 'shop',
  serviceAccount: 'orders',
  expiresAtMs,
  isReusable,
});

t.test('the directory holds hashes in private files, never a secret', async (t) => {
  const directory = join(t.testdir(), 'tokens');
  const store = await openTokenStore(directory, Date.now);
  const token = await store.issue(grant(Date.now() + 60_000));
  const [name = ''] = await readdir(directory);
  t.equal((await stat(join(directory, name))).mode & 0o777, 0o600);
  t.equal((await stat(directory)).mode & 0o777, 0o700);
  const secret = token.split('.')[2] ?? '';
  t.equal(Buffer.from(secret, 'base64url').length, 32);
  t.notOk((await readFile(join(directory, name), 'utf8')).includes(secret));
});

t.test('another secret under a known ID is told nothing but that it is unknown', async (t) => {
  const store = await openTokenStore(join(t.testdir(), 'tokens'), Date.now);
  const token = await store.issue(grant(Date.now() + 60_000));
  const guess = `${token.slice(0, token.lastIndexOf('.') + 1)}${'A'.repeat(43)}`;
  t.match(await store.verify(guess), { kind: 'invalid', reason: /unknown here/ });
  await store.consume(token);
  t.match(await store.verify(guess), { kind: 'invalid', reason: /unknown here/ });
  t.match(await store.verify(token), { kind: 'invalid', reason: /used already/ });
});

t.test('a path in place of an ID is not looked up', async (t) => {
  const store = await openTokenStore(join(t.testdir(), 'tokens'), Date.now);
  t.match(await store.verify(`lateral.../../etc/passwd.${'A'.repeat(43)}`), { kind: 'invalid', reason: /form/ });
});

t.test('of many who consume a token, one is first', async (t) => {
  const directory = join(t.testdir(), 'tokens');
  const stores = await Promise.all([openTokenStore(directory, Date.now), openTokenStore(directory, Date.now)]);
  const token = (await stores[0]?.issue(grant(Date.now() + 60_000))) ?? '';
  const results = await Promise.all(Array.from({ length: 20 }, (_, n) => stores[n % 2]?.consume(token)));
  t.equal(results.filter((isFirst) => isFirst === true).length, 1);
});

t.test('an expired token is refused, and its record is purged', async (t) => {
  const directory = join(t.testdir(), 'tokens');
  let nowMs = Date.now();
  const store = await openTokenStore(directory, () => nowMs);
  const token = await store.issue(grant(nowMs + 1_000));
  nowMs += 1_000;
  t.match(await store.verify(token), { kind: 'invalid', reason: /expired at/ });
  await store.purge();
  t.strictSame(await readdir(directory), []);
});
