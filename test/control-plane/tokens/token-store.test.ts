import { chmod, mkdir, readdir, readFile, stat } from 'node:fs/promises';
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

t.test('a directory or a record that others can read or write is refused, with the way to mend it', async (t) => {
  const directory = join(t.testdir(), 'tokens');
  await mkdir(directory);
  for (const mode of [0o755, 0o770, 0o701, 0o720]) {
    await chmod(directory, mode);
    await t.rejects(openTokenStore(directory, Date.now), /lets others see or make tokens; run chmod 700 /);
  }
  await chmod(directory, 0o700);
  const store = await openTokenStore(directory, Date.now);
  const token = await store.issue(grant(Date.now() + 60_000));
  const [name = ''] = await readdir(directory);
  for (const mode of [0o640, 0o602, 0o604]) {
    await chmod(join(directory, name), mode);
    await t.rejects(store.verify(token), /lets others read or write it; run chmod 600 /);
    await t.rejects(store.consume(token), /lets others read or write it/);
  }
  await chmod(join(directory, name), 0o600);
  t.match(await store.verify(token), { kind: 'valid' });
});

t.test('a revoked token is told so, fresh, used or reusable, until it expires', async (t) => {
  const directory = join(t.testdir(), 'tokens');
  let nowMs = Date.now();
  const store = await openTokenStore(directory, () => nowMs);
  const expiresAtMs = nowMs + 60_000;
  const fresh = await store.issue(grant(expiresAtMs));
  const used = await store.issue(grant(expiresAtMs));
  const reusable = await store.issue(grant(expiresAtMs, true));
  t.ok(await store.consume(used));
  t.ok(await store.consume(reusable));
  t.ok(await store.consume(reusable));
  for (const token of [fresh, used, reusable]) {
    const [, id = ''] = token.split('.');
    t.equal(await store.revoke(id), 'revoked');
    t.match(await store.verify(token), { kind: 'invalid', code: 'token_revoked' });
    t.equal(await store.consume(token), false);
    const guess = `${token.slice(0, token.lastIndexOf('.') + 1)}${'A'.repeat(43)}`;
    t.match(await store.verify(guess), { kind: 'invalid', code: 'token_unknown' }, 'who guesses learns nothing');
  }
  t.equal((await store.list()).length, 3);
  nowMs = expiresAtMs;
  t.equal(await store.revoke(fresh.split('.')[1] ?? ''), 'unknown');
  await store.purge();
  t.strictSame(await readdir(directory), []);
  t.match(await store.verify(fresh), { kind: 'invalid', code: 'token_unknown' });
});

t.test('of using a token up and revoking it at the same time, one is first, and it ends revoked', async (t) => {
  const directory = join(t.testdir(), 'tokens');
  const stores = await Promise.all([openTokenStore(directory, Date.now), openTokenStore(directory, Date.now)]);
  const [own, other] = stores;
  if (own === undefined || other === undefined) throw new Error('no stores');
  for (let round = 0; round < 50; round++) {
    const token = await own.issue(grant(Date.now() + 60_000, round % 2 === 0));
    const id = token.split('.')[1] ?? '';
    const [, revoked] = await Promise.all([own.consume(token), other.revoke(id), own.consume(token)]);
    t.equal(revoked, 'revoked');
    t.match(await own.verify(token), { kind: 'invalid', code: 'token_revoked' });
    t.equal(await own.consume(token), false);
  }
});
