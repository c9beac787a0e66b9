import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { CODES, type CodeEntry } from '#policy/error/codes.ts';
import { PAGES } from '../scripts/reference/pages.ts';
import { environment } from '../scripts/run-step.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

for (const [path, page] of Object.entries(PAGES)) {
  t.test(`${path} is what the source says (else: npm run generate)`, async (t) => {
    t.equal(readFileSync(join(root, path), 'utf8'), page());
  });
}

t.test('the protobuf code is what the .proto files say (else: npm run generate)', async (t) => {
  const copy = t.testdir();
  mkdirSync(join(copy, 'proto'));
  for (const name of ['buf.yaml', 'buf.gen.yaml', 'lateral'])
    cpSync(join(root, 'proto', name), join(copy, 'proto', name), { recursive: true });
  const buf = (...args: string[]) =>
    spawnSync(join(root, 'node_modules/.bin/buf'), args, {
      cwd: join(copy, 'proto'),
      env: environment,
      encoding: 'utf8',
    });
  t.equal(buf('lint').stdout, '');
  const made = buf('generate');
  t.equal(made.status, 0, made.stderr);
  const list = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .sort();
  const names = list(join(root, 'proto/gen'));
  t.ok(names.length >= 3);
  t.strictSame(list(join(copy, 'proto/gen')), names);
  for (const name of names)
    t.equal(
      readFileSync(join(copy, 'proto/gen', name), 'utf8'),
      readFileSync(join(root, 'proto/gen', name), 'utf8'),
      name,
    );
});

t.test('every default in a CRD is of its own type, else no API server takes it', (t) => {
  const folder = join(root, 'helm/lateral/files/crds');
  for (const name of readdirSync(folder)) {
    const pending: unknown[] = [parse(readFileSync(join(folder, name), 'utf8'))];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (typeof next !== 'object' || next === null) continue;
      if (!Array.isArray(next) && 'type' in next && 'default' in next) {
        const given = Array.isArray(next.default) ? 'array' : typeof next.default;
        t.equal(given === 'number' ? 'integer' : given, next.type, `${name}: ${JSON.stringify(next.default)}`);
      }
      pending.push(...Object.values(next).filter((value) => value !== null && value !== undefined));
    }
  }
  t.end();
});

t.test('every direct dependency is pinned, and its reason is documented', async (t) => {
  const manifest: { dependencies: Record<string, string>; devDependencies: Record<string, string> } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  const page = readFileSync(join(root, 'docs/dependencies.md'), 'utf8');
  const documented = [...page.matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)].map((match) => match[1]);
  const all = { ...manifest.dependencies, ...manifest.devDependencies };
  t.strictSame(documented.sort(), Object.keys(all).sort());
  for (const [name, version] of Object.entries(all)) t.match(version, /^\d+\.\d+\.\d+$/, `${name} is exact`);
});

t.test('the lock file holds no download addresses', async (t) => {
  t.notMatch(readFileSync(join(root, 'package-lock.json'), 'utf8'), /"resolved": *"http/);
});

t.test('every code of the catalogue is used, and has a text for caller and operator', async (t) => {
  const files = ['policy', 'sidecar', 'control-plane'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('codes.ts'))
      .map((name) => readFileSync(join(root, folder, name), 'utf8')),
  );
  const all = files.join('\n');
  const catalogue: readonly [string, CodeEntry][] = Object.entries(CODES);
  for (const [code, entry] of catalogue) {
    t.ok(all.includes(`'${code}'`), `${code} is used`);
    t.ok(entry.title !== '' && entry.meaning !== '' && entry.remedy !== '');
  }
});
