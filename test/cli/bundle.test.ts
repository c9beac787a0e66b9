import { spawnSync } from 'node:child_process';
import { cp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../..', import.meta.url));
const COPIED = ['bin', 'cli', 'control-plane', 'files', 'policy', 'proto', 'scripts', 'sidecar', 'package.json'];

function run(...args: string[]): { readonly code: number | null; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

t.test(
  'what runs is the bundle while it is made of the sources that are there, and the sources otherwise',
  async (t) => {
    const copy = t.testdir();
    for (const name of COPIED) await cp(join(root, name), join(copy, name), { recursive: true });
    await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
    const lateral = join(copy, 'bin/lateral.mjs');
    const main = join(copy, 'cli/main.ts');
    const text = await readFile(main, 'utf8');
    const help = () => run(lateral, '--help').stdout;

    t.match(help(), /^Usage: lateral COMMAND/, 'no bundle yet');
    t.strictSame(run(join(copy, 'scripts/build.mjs')), { code: 0, stdout: '', stderr: '' });
    t.match(help(), /^Usage: lateral COMMAND/);
    const { directory }: { directory: string } = JSON.parse(
      await readFile(join(copy, 'build/lateral/current.json'), 'utf8'),
    );
    const programs = await readdir(join(copy, 'build/lateral', directory));
    for (const name of [
      'main.mjs',
      'traffic-worker.mjs',
      'validator-worker.mjs',
      'judge-worker.mjs',
      'document-worker.mjs',
    ])
      t.ok(programs.includes(name), name);
    const bundled = join(copy, 'build/lateral', directory, 'main.mjs');
    const bundle = await readFile(bundled, 'utf8');
    await writeFile(bundled, bundle.replace('Usage: lateral', 'Bundle: lateral'));
    t.match(help(), /^Bundle: lateral/, 'the bundle runs');

    await writeFile(main, text.replace('Usage: lateral', 'Source: lateral'));
    t.match(help(), /^Source: lateral/, 'a source changed');
    t.equal(run(join(copy, 'scripts/build.mjs')).code, 0);
    t.match(help(), /^Source: lateral/, 'bundled anew');
    await rm(join(copy, 'build'), { recursive: true });
    t.match(help(), /^Source: lateral/, 'the bundle is gone');

    await writeFile(main, 'this is not TypeScript');
    const failed = run(join(copy, 'scripts/build.mjs'));
    t.match(failed, { code: 0, stderr: /^lateral: not bundled \([^\n]+\); the sources are run, with more memory\n$/ });
  },
);
