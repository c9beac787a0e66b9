import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { SHOP_PROTO, shopProto } from './support/shop-proto.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const lateral = join(root, 'bin/lateral.mjs');
const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

t.test('the commands of the README run', async (t) => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8').replaceAll('\\\n', ' ');
  const commands = [...readme.matchAll(/^npx lateral ((?:--help|check|authz).*)$/gm)].map((match) => match[1] ?? '');
  t.equal(commands.length, 3);
  for (const command of commands) {
    const args = [...command.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '');
    const { status, stderr } = spawnSync(process.execPath, [lateral, ...args], { cwd: root, encoding: 'utf8' });
    t.equal(status, 0, `${command}\n${stderr}`);
  }
});

t.test(
  'the policies of external-authorization.md are sound, and leave to the provider what the page says',
  async (t) => {
    const page = readFileSync(join(root, 'docs/external-authorization.md'), 'utf8');
    const file = join(t.testdir(), 'policies.yaml');
    writeFileSync(file, /```yaml\n([^`]*)```/.exec(page)?.[1] ?? '');
    const checked = spawnSync(process.execPath, [lateral, 'check', file], { cwd: root, encoding: 'utf8' });
    t.equal(checked.status, 0, checked.stdout + checked.stderr);
    const from = 'spiffe://cluster.local/ns/shop/sa/web';
    const to = ['--to', 'shop/orders', '--label', 'app=orders', '--from', from, '--json'];
    for (const [path, decision] of [
      ['/admin', 'custom'],
      ['/orders', 'allow'],
    ] as const) {
      const args = [lateral, 'authz', '--policies', file, ...to, '--request', `GET ${path}`];
      const { stdout } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
      t.equal(JSON.parse(stdout).decision, decision, path);
    }
  },
);

t.test('the resources of validation.md are sound', async (t) => {
  const page = readFileSync(join(root, 'docs/validation.md'), 'utf8');
  const resources = [...page.matchAll(/```yaml\n([^`]*)```/g)].map((match) => match[1] ?? '');
  const operation = '{operationId: createOrder, responses: {}}';
  const read = '{parameters: [{name: id, in: path, required: true, schema: {type: integer}}], responses: {}}';
  const { set } = await shopProto(SHOP_PROTO.replace('rpc Withheld', 'rpc Import'));
  const folder = t.testdir({
    'policies.yaml': resources.join('---\n'),
    'shop.binpb': set,
    api: {
      'orders.openapi.yaml': `openapi: 3.1.0\ninfo: {title: orders, version: "1"}\npaths:\n  /orders: {post: ${operation}}\n  /orders/{id}: {get: ${read}}\n`,
    },
  });
  const checked = spawnSync(process.execPath, [lateral, 'check', folder], { cwd: root, encoding: 'utf8' });
  t.equal(checked.status, 0, checked.stdout + checked.stderr);
});

t.test('every link of a page leads somewhere', async (t) => {
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8');
    for (const match of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      t.ok(existsSync(join(root, dirname(page), match[1] ?? '')), `${page}: ${match[1]}`);
    }
  }
});

t.test('every limit that ARCHITECTURE.md names is in the code, with that value', async (t) => {
  const sources = ['sidecar', 'policy', 'control-plane', 'files', 'proto'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(root, folder, name), 'utf8')),
  );
  const all = sources.join('\n');
  const architecture = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
  const named = [...architecture.matchAll(/`([A-Z][A-Z_]+_(?:MS|BYTES))`(?: (\d+) s)?/g)];
  t.ok(named.length >= 5);
  for (const [, name = '', seconds] of named) {
    const value = new RegExp(`\\b${name} = ([^;]+);`).exec(all)?.[1]?.replaceAll('_', '');
    t.ok(value, name);
    if (seconds !== undefined) t.equal(Number(value), Number(seconds) * 1_000, name);
  }
});
