// What `npm run demo`, `npm test`, … call: installs what is missing, then runs the task in the Node that
// the install brought. Plain JavaScript, for any Node from 18.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const node = `${root}node_modules/node/bin/node`;
/** Says which lock file the installed modules came from. */
const stamp = `${root}node_modules/.lateral-installed`;

const TASKS = {
  demo: 'examples/shop/demo.ts',
  test: 'scripts/test.ts',
  'test:cluster': 'scripts/test-cluster.ts',
  bench: 'scripts/bench.ts',
  fuzz: 'scripts/fuzz.ts',
  generate: 'scripts/generate.ts',
  image: 'scripts/image.ts',
  'image:dockerfile': 'scripts/try-dockerfile.ts',
  check: 'scripts/check.ts',
};

const [task = '', ...args] = process.argv.slice(2);
if (!Object.hasOwn(TASKS, task)) {
  process.stderr.write(`usage: node scripts/run.mjs ${Object.keys(TASKS).join('|')} [OPTIONS]\n`);
  process.exit(2);
}
install();
const { build } = await import('./build.mjs'); // only now: it needs what is installed
await build();
const child = spawnSync(node, [`${root}${TASKS[task]}`, ...args], { stdio: 'inherit', cwd: root });
process.exit(child.status ?? 1);

function install() {
  const lock = createHash('sha256')
    .update(readFileSync(`${root}package-lock.json`))
    .digest('hex');
  if (existsSync(node) && existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  process.stderr.write('Installing what is missing (once, about a minute) …\n');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  // npm's own output goes to stderr: stdout may be read by a program (--json)
  const done = spawnSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    stdio: ['ignore', 2, 2],
    cwd: root,
  });
  if (done.status !== 0 || !existsSync(node)) {
    process.stderr.write('The install failed; see above. "npm ci" repeats it.\n');
    process.exit(1);
  }
  writeFileSync(stamp, lock);
}
