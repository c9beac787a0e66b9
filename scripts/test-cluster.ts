import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { environment, root } from './run-step.ts';
import { runTap } from './run-tap.ts';

/** One file brings the mesh up, uses it and takes it away. */
const FILE_TIMEOUT_SECONDS = 1_800;
/** Makes images and loads them into a cluster without an engine, where the cluster of the trials is at hand. */
const IMAGE_TOOL = fileURLToPath(new URL('../../shared/cluster/image', import.meta.url));
const LATERAL_IMAGE = 'localhost/lateral:dev';
const SHOP_IMAGE = 'localhost/shop:dev';
/** Of Debian's packages; the test of a server that speaks first is skipped without it. */
const POSTGRES_IMAGE = 'localhost/postgres:15';

const help = `Usage: npm run test:cluster [-- FILE…]

Runs test/cluster/*.cluster.ts on the cluster that KUBECONFIG names: it installs the chart, deploys examples/shop, and
removes both again. kubectl and helm must be in PATH. The images are made and loaded where ../shared/cluster is there;
elsewhere the cluster must have them:

  ${LATERAL_IMAGE}   npm run image makes its root folder in build/image
  ${POSTGRES_IMAGE}   Debian's PostgreSQL (optional)
  ${SHOP_IMAGE}      node at /usr/local/bin/node, examples/shop/services at /shop

The last line is "N passed, N failed".
`;

const [first, ...rest] = process.argv.slice(2);
if (first === '--help') {
  process.stdout.write(help);
  process.exit(0);
}
checkTools();
if (existsSync(IMAGE_TOOL)) loadImages();
const all = readdirSync(`${root}test/cluster`)
  .filter((name) => name.endsWith('.cluster.ts'))
  .sort()
  .map((name) => `test/cluster/${name}`);
const files = first === undefined ? all : [first, ...rest];
const { passed, failed } = await runTap(['--jobs=1', `--timeout=${FILE_TIMEOUT_SECONDS}`, ...files]);
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;

function checkTools(): void {
  for (const [program, args] of [
    ['kubectl', ['version', '--client']],
    ['helm', ['version']],
  ] as const) {
    if (spawnSync(program, args, { stdio: 'ignore' }).status === 0) continue;
    process.stderr.write(`test:cluster: ${program} is not in PATH; see npm run test:cluster -- --help\n`);
    process.exit(2);
  }
  const reached = spawnSync('kubectl', ['get', '--raw', '/readyz', '--request-timeout=10s'], { encoding: 'utf8' });
  if (reached.status === 0) return;
  process.stderr.write(`test:cluster: no cluster answers (KUBECONFIG): ${reached.stderr.trim()}\n`);
  process.exit(2);
}

function loadImages(): void {
  step('npm', ['run', 'image', '--silent']);
  step(IMAGE_TOOL, ['dir', LATERAL_IMAGE, '--entrypoint', '["/lateral/bin/lateral"]', 'build/image']);
  const node = `${root}node_modules/node/bin/node=/usr/local/bin/node`;
  const entry = ['--entrypoint', '["/usr/local/bin/node"]', '--user', '1000:1000'];
  step(IMAGE_TOOL, ['files', SHOP_IMAGE, '--libs', ...entry, node, 'examples/shop/services=/shop']);
  const isMade = spawnSync(IMAGE_TOOL, ['list'], { encoding: 'utf8' }).stdout.includes(POSTGRES_IMAGE);
  step(IMAGE_TOOL, isMade ? ['load', POSTGRES_IMAGE] : ['debian', POSTGRES_IMAGE, 'postgresql']);
}

function step(program: string, args: readonly string[]): void {
  process.stderr.write(`${program.split('/').at(-1)} ${args.slice(0, 2).join(' ')} …\n`);
  const { status, error } = spawnSync(program, args, { cwd: root, env: environment, stdio: ['ignore', 2, 2] });
  if (status === 0) return;
  process.stderr.write(`test:cluster: ${program} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}\n`);
  process.exit(1);
}
