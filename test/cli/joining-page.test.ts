import { execFileSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { tokenCommand } from '#cli/commands/token.ts';
import { readWrappingKey } from '#control-plane/authority/read-wrapping-key.ts';
import { readControlPlaneConfiguration } from '#control-plane/configuration.ts';

const page = await readFile(fileURLToPath(new URL('../../docs/joining.md', import.meta.url)), 'utf8');
const HEAD = 'apiVersion: lateral.dev/v1alpha1\nkind: ControlPlaneConfig\nsource: {directory: p}\n';

t.test('the commands of the page run, one after the other', async (t) => {
  const directory = t.testdir();
  const config = join(directory, 'control-plane.yaml');
  await writeFile(config, `${HEAD}authority: {directory: ca}\ntokens: {directory: tokens}\n`);
  const commands = [...page.matchAll(/^npx lateral token (.*)$/gm)].map(([, args = '']) => args);
  t.equal(commands.length, 4);
  for (const command of commands) {
    const [line = '', file] = command.split(' > ');
    const words: string[] = [];
    for (const [word, substituted] of line.matchAll(/"\$\(cat (\S+)\)"|\S+/g)) {
      words.push(substituted === undefined ? word : await readFile(join(directory, substituted), 'utf8'));
    }
    const printed: string[] = [];
    const io = { stdout: (text: string) => void printed.push(text), stderr: () => {} };
    const args = words.map((word) => (word === 'control-plane.yaml' ? config : word));
    t.equal(await tokenCommand.run(args, io), 0, command);
    if (file !== undefined) await writeFile(join(directory, file), printed.join(''));
  }
});

t.test('the configuration of the page is read, and takes the key that its command makes', async (t) => {
  const directory = t.testdir();
  const [, yaml = ''] = /```yaml\n(.*?)```/s.exec(page) ?? [];
  const keyFile = join(directory, 'authority.key');
  const [, make = '', ...args] = /^(openssl) (.*)$/m.exec(page) ?? [];
  await writeFile(keyFile, execFileSync(make, (args[0] ?? '').split(' ')));
  await chmod(keyFile, 0o600);
  const config = join(directory, 'control-plane.yaml');
  await writeFile(config, HEAD + yaml.replace('/run/secrets/authority.key', 'authority.key'));
  const { configuration, problems } = await readControlPlaneConfiguration(config);
  t.strictSame(problems, []);
  const keyEncryption = configuration?.authority.keyEncryption;
  t.strictSame(keyEncryption, { kind: 'file', path: keyFile });
  if (keyEncryption !== undefined) t.ok(await readWrappingKey(keyEncryption, {}));
});

t.test('exactly one place of the key is named, and an environment variable by its name', async (t) => {
  const config = join(t.testdir(), 'control-plane.yaml');
  const read = async (keyEncryption: string) => {
    await writeFile(config, `${HEAD}authority: {directory: ca, keyEncryption: ${keyEncryption}}\n`);
    const { configuration, problems } = await readControlPlaneConfiguration(config);
    return configuration?.authority.keyEncryption ?? problems.map(({ message }) => message).join();
  };
  t.strictSame(await read('{keyEnvironment: KEY_1}'), { kind: 'environment', name: 'KEY_1' });
  t.match(await read('{}'), /expected exactly one of keyFile and keyEnvironment/);
  t.match(await read('{keyFile: a, keyEnvironment: B}'), /expected exactly one of keyFile and keyEnvironment/);
  t.match(await read('{keyEnvironment: 1-A}'), /is not the name of an environment variable/);
});
