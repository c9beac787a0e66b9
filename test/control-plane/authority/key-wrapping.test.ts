import { randomBytes } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { isWrapped, keyIdOf, localKeyWrapping } from '#control-plane/authority/key-wrapping.ts';
import { readWrappingKey } from '#control-plane/authority/read-wrapping-key.ts';

const PEM = `-----BEGIN PRIVATE KEY-----\n${randomBytes(100).toString('base64')}\n-----END PRIVATE KEY-----\n`;
const LABEL = 'ca-key.pem';

t.test('what was wrapped is read again under its label by its key, and shows nothing of the text', async (t) => {
  const wrapping = localKeyWrapping([randomBytes(32)]);
  for (const text of [PEM, 'ä'.repeat(10_000)]) {
    const wrapped = await wrapping.wrap(text, LABEL);
    t.match(wrapped, /^-----BEGIN LATERAL ENCRYPTED KEY-----\nVersion: 1\nKey-Id: [0-9a-f]{16}\nNonce: /);
    t.ok(isWrapped(wrapped));
    t.ok(wrapping.isCurrent(wrapped));
    t.equal(await wrapping.unwrap(wrapped, LABEL), text);
    t.notOk(wrapped.includes(text.split('\n')[1] ?? text));
  }
  t.not(await wrapping.wrap(PEM, LABEL), await wrapping.wrap(PEM, LABEL), 'another nonce each time');
});

t.test('another key is told from a file that was changed, and from one that is in the place of another', async (t) => {
  const [own, other] = [randomBytes(32), randomBytes(32)];
  const wrapped = await localKeyWrapping([own]).wrap(PEM, LABEL);
  await t.rejects(localKeyWrapping([other]).unwrap(wrapped, LABEL), {
    message: `is encrypted by the key with ID ${keyIdOf(own)}, and configured is ${keyIdOf(other)}`,
  });
  await t.rejects(localKeyWrapping([own]).unwrap(wrapped, 'root-key.pem'), /was changed, or is not root-key\.pem/);
  const claimed = wrapped.replace(keyIdOf(own), keyIdOf(other));
  await t.rejects(localKeyWrapping([other]).unwrap(claimed, LABEL), /does not fit its tag/);
  const later = wrapped.replace('Version: 1', 'Version: 2');
  await t.rejects(localKeyWrapping([own]).unwrap(later, LABEL), /form of version 2, which this version does not know/);
});

t.test('bent at any character, cut short or grown, it is never read as anything', async (t) => {
  const wrapping = localKeyWrapping([randomBytes(32)]);
  const wrapped = await wrapping.wrap(PEM, LABEL);
  let read = 0;
  const attempt = async (text: string) => {
    if (text.trimEnd() === wrapped.trimEnd()) return; // the last end of line is nobody's
    try {
      await wrapping.unwrap(text, LABEL);
      read++;
    } catch {}
  };
  for (let at = 0; at < wrapped.length; at++) {
    const code = wrapped.charCodeAt(at);
    for (const value of [code ^ 1, code ^ 0x10, 0x41, 0x30]) {
      if (value !== code) await attempt(wrapped.slice(0, at) + String.fromCharCode(value) + wrapped.slice(at + 1));
    }
    await attempt(wrapped.slice(0, at));
    await attempt(`${wrapped.slice(0, at)}A${wrapped.slice(at)}`);
  }
  t.equal(read, 0);
});

t.test('a key that took the place of another encrypts, and both read', async (t) => {
  const [former, current] = [randomBytes(32), randomBytes(32)];
  const old = await localKeyWrapping([former]).wrap(PEM, LABEL);
  const wrapping = localKeyWrapping([current, former]);
  t.equal(await wrapping.unwrap(old, LABEL), PEM);
  t.notOk(wrapping.isCurrent(old));
  t.notOk(wrapping.isCurrent(PEM));
  t.ok(wrapping.isCurrent(await wrapping.wrap(PEM, LABEL)));
});

t.test('the key is read from a private file or the environment, as base64 or hex', async (t) => {
  const key = randomBytes(32);
  const path = join(t.testdir(), 'key');
  const wrapped = await localKeyWrapping([key]).wrap(PEM, LABEL);
  for (const text of [
    key.toString('hex'),
    `${key.toString('base64')}\n`,
    `  ${key.toString('hex').toUpperCase()}\n\n`,
  ]) {
    await writeFile(path, text, { mode: 0o600 });
    t.equal(await (await readWrappingKey({ kind: 'file', path }, {})).unwrap(wrapped, LABEL), PEM);
    const fromEnvironment = await readWrappingKey({ kind: 'environment', name: 'KEY' }, { KEY: text });
    t.equal(await fromEnvironment.unwrap(wrapped, LABEL), PEM);
  }
  await writeFile(path, `${randomBytes(32).toString('hex')}\n${key.toString('base64')}\n`);
  const both = await readWrappingKey({ kind: 'file', path }, {});
  t.equal(await both.unwrap(wrapped, LABEL), PEM);
  t.notOk(both.isCurrent(wrapped), 'the first line encrypts');
  for (const mode of [0o640, 0o604, 0o622]) {
    await chmod(path, mode);
    await t.rejects(readWrappingKey({ kind: 'file', path }, {}), /lets others read the key; run chmod 600 /);
  }
});

t.test('what is no key is said without showing it', async (t) => {
  const path = join(t.testdir(), 'key');
  await t.rejects(
    readWrappingKey({ kind: 'file', path }, {}),
    /key: is not there, and authority\.keyEncryption names it/,
  );
  await t.rejects(readWrappingKey({ kind: 'environment', name: 'KEY' }, {}), /variable KEY: is not there/);
  for (const bytes of [16, 31, 33, 48]) {
    for (const form of ['hex', 'base64'] as const) {
      const text = randomBytes(bytes).toString(form);
      const error: unknown = await readWrappingKey({ kind: 'environment', name: 'KEY' }, { KEY: text }).catch(
        (cause) => cause,
      );
      t.match(error, { message: /line 1: is not a key of 32 bytes as base64 or hex; make one: openssl rand/ });
      t.notOk(String(error).includes(text));
    }
  }
  await t.rejects(readWrappingKey({ kind: 'environment', name: 'KEY' }, { KEY: ' \n' }), /holds 0 keys/);
});
