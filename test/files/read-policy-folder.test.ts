import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readPolicyFolder } from '#files/read-policy-folder.ts';

t.test('reads every YAML file below the folder, in order, and nothing else as a resource', async (t) => {
  const root = t.testdir({
    'b.yaml': 'b',
    'a.yml': 'a',
    'orders.json': '{}',
    '.hidden.yaml': 'x',
    sub: { 'c.yaml': 'c' },
  });
  const { files, problems, readDocument } = await readPolicyFolder(root);
  t.same(files, [
    { path: join(root, 'a.yml'), text: 'a' },
    { path: join(root, 'b.yaml'), text: 'b' },
    { path: join(root, 'sub/c.yaml'), text: 'c' },
  ]);
  t.same(problems, []);
  t.equal(readDocument(join(root, 'orders.json'), 'utf8'), '{}');
  t.equal(readDocument(join(root, 'orders.json'), 'base64'), 'e30=');
  t.equal(readDocument(join(root, 'missing.json'), 'utf8'), undefined);
  t.equal(readDocument(join(root, '../../package.json'), 'utf8'), undefined);
});

t.test(
  'follows links within the folder, as a mounted ConfigMap has them, and refuses those that lead out',
  async (t) => {
    const outside = t.testdir({ outside: { 'secret.yaml': 's' }, root: { '..data': { 'a.yaml': 'a' } } });
    const root = join(outside, 'root');
    symlinkSync('..data/a.yaml', join(root, 'a.yaml'));
    symlinkSync('../outside/secret.yaml', join(root, 'b.yaml'));
    symlinkSync('missing.yaml', join(root, 'c.yaml'));
    symlinkSync('../outside', join(root, 'folder'));
    symlinkSync('../outside/secret.yaml', join(root, 'secret.json'));
    const { files, problems, readDocument } = await readPolicyFolder(root);
    t.same(files, [{ path: join(root, 'a.yaml'), text: 'a' }]);
    t.match(problems, [
      {
        file: join(root, 'b.yaml'),
        severity: 'error',
        code: 'unreadable_file',
        message: /leads out of the policy folder/,
      },
      { file: join(root, 'c.yaml'), message: /^cannot be read: ENOENT/ },
    ]);
    t.equal(readDocument(join(root, 'secret.json'), 'utf8'), undefined);
  },
);

t.test('reads one file where the path names one', async (t) => {
  const root = t.testdir({ 'a.txt': 'a', 'o.json': '{}' });
  const { files, problems, readDocument } = await readPolicyFolder(join(root, 'a.txt'));
  t.same({ files, problems }, { files: [{ path: join(root, 'a.txt'), text: 'a' }], problems: [] });
  t.equal(readDocument(join(root, 'o.json'), 'utf8'), '{}', 'documents stand beside it');
});

t.test('what cannot be read is a problem, not a crash', async (t) => {
  const root = t.testdir({ 'big.yaml': 'x'.repeat(17 * 1024 * 1024) });
  t.match((await readPolicyFolder(join(root, 'none'))).problems, [{ code: 'unreadable_file', message: /ENOENT/ }]);
  t.match((await readPolicyFolder(root)).problems, [{ message: 'more than 16777216 bytes of resource files' }]);
  mkdirSync(join(root, 'closed.yaml'));
  writeFileSync(join(root, 'a.yaml'), 'a');
  chmodSync(join(root, 'a.yaml'), 0o644);
  t.match((await readPolicyFolder(root)).files, [{ text: 'a' }], 'a folder named like a file is walked');
});
