import { chmod, chown, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import t from 'tap';
import { makePrivate } from '#files/make-private.ts';

t.test('a directory that is missing is made private, with those above it', async (t) => {
  const directory = join(t.testdir(), 'a', 'b');
  t.equal(await makePrivate(directory), undefined);
  t.equal((await stat(directory)).mode & 0o777, 0o700);
});

t.test('one of our own is made private', async (t) => {
  const directory = t.testdir();
  for (const mode of [0o777, 0o755, 0o710]) {
    await chmod(directory, mode);
    t.equal(await makePrivate(directory), undefined);
    t.equal((await stat(directory)).mode & 0o777, 0o700);
  }
});

const isRoot = process.getuid?.() === 0;

t.test("one of somebody else's stays as it is", { skip: isRoot ? false : 'needs root' }, async (t) => {
  const directory = join(t.testdir(), 'theirs');
  await mkdir(directory, { mode: 0o700 });
  await chown(directory, 12_345, 12_345);
  t.match(
    await makePrivate(directory),
    /theirs: belongs to user 12345, and this program is user 0; name a directory within/,
  );
  t.equal((await stat(directory)).uid, 12_345);
  t.equal(await makePrivate(join(directory, 'own')), undefined);
});

t.test('what is no directory is said', async (t) => {
  const file = join(t.testdir(), 'file');
  await writeFile(file, '');
  t.match(await makePrivate(file), /EEXIST|ENOTDIR/);
});
