import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Which top folders a top folder may import from. */
const ARROWS: { readonly [folder: string]: readonly string[] } = {
  proto: [],
  policy: [],
  files: ['policy'],
  sidecar: ['policy', 'proto', 'files'],
  'control-plane': ['policy', 'proto', 'files'],
  cli: ['sidecar', 'control-plane', 'policy', 'proto', 'files'],
};

/** Which folders of `control-plane/kubernetes` a folder there may import from, beside the files at its top. */
const KUBERNETES_ARROWS: { readonly [folder: string]: readonly string[] } = {
  client: [],
  resources: [],
  cluster: ['resources'],
  watch: ['client', 'resources', 'cluster'],
  identity: ['client', 'watch'],
  rules: ['client'],
  status: ['client', 'resources', 'cluster', 'watch'],
};

/** Node modules that would make the law depend on the world. */
const IMPURE = /^node:(fs|net|http|https|http2|tls|dgram|child_process|worker_threads|timers|os|process)/;

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name));
}

function importsOf(path: string): string[] {
  const text = readFileSync(join(root, path), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

/** The top folder an import leads to; undefined: a package or a module of Node's. */
function targetOf(path: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return specifier.slice(1).split('/', 1)[0];
  if (!specifier.startsWith('.')) return undefined;
  return relative(root, normalize(join(root, dirname(path), specifier))).split('/', 1)[0];
}

for (const [folder, allowed] of Object.entries(ARROWS)) {
  t.test(`${folder} imports from ${['itself', ...allowed].join(', ')} only`, async (t) => {
    const files = sources(folder);
    t.ok(files.length > 0);
    const strays = files.flatMap((path) =>
      importsOf(path)
        .map((specifier) => ({ specifier, target: targetOf(path, specifier) }))
        .filter(
          ({ target }) =>
            target !== undefined && target !== 'package.json' && target !== folder && !allowed.includes(target),
        )
        .map(({ specifier }) => `${path} imports ${specifier}`),
    );
    t.strictSame(strays, []);
  });
}

for (const [folder, allowed] of Object.entries(KUBERNETES_ARROWS)) {
  const place = `control-plane/kubernetes/${folder}`;
  t.test(`${place} imports from ${['itself', ...allowed].join(', ')} only`, async (t) => {
    const strays = sources(place).flatMap((path) =>
      importsOf(path).flatMap((specifier) => {
        const to = specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier.slice(1);
        const [, inner] = /^control-plane\/kubernetes\/([^/]+)\//.exec(to) ?? [];
        const isFine = inner === undefined || inner === folder || allowed.includes(inner);
        return isFine ? [] : [`${path} imports ${specifier}`];
      }),
    );
    t.strictSame(strays, []);
  });
}

t.test('policy is pure: no I/O, no timers, no clock', async (t) => {
  const strays = sources('policy').flatMap((path) => {
    const modules = importsOf(path).filter((specifier) => IMPURE.test(specifier) && specifier !== 'node:net');
    // setImmediate is not a clock: it lets others have their turn between two slices of work
    const calls = /\b(setTimeout|setInterval|Date\.now|performance\.now|Math\.random)\(/.exec(
      readFileSync(join(root, path), 'utf8'),
    );
    return [...modules, ...(calls === null ? [] : [calls[0]])].map((what) => `${path}: ${what}`);
  });
  t.strictSame(strays, []);
});

t.test('a standalone sidecar loads nothing of gRPC or OpenTelemetry', async (t) => {
  const seen = new Set<string>();
  const packages = new Set<string>();
  const visit = (path: string) => {
    if (seen.has(path)) return;
    seen.add(path);
    const text = readFileSync(join(root, path), 'utf8');
    // static imports of values only: `import type` and `await import(…)` load nothing at the start
    for (const match of text.matchAll(/^(?:import|export)(?! type\b)[^;]*?from '([^']+)'/gms)) {
      const specifier = match[1] ?? '';
      if (specifier.startsWith('#')) visit(specifier.slice(1));
      else if (specifier.startsWith('.')) visit(normalize(join(dirname(path), specifier)));
      else if (!specifier.startsWith('node:')) packages.add(specifier);
    }
  };
  visit('sidecar/run-sidecar.ts');
  visit('sidecar/workers/worker-pool.ts');
  visit('sidecar/workers/run-traffic-worker.ts');
  t.strictSame(
    [...packages].filter((name) => /grpc|opentelemetry|forge/.test(name)),
    [],
  );
});
