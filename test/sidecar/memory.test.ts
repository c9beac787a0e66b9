import { spawn, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { TestAuthority } from '../support/certificates.ts';
import { freePorts } from '../support/free-ports.ts';
import { ALLOW_ALL } from '../support/sidecar-pair.ts';
import { startApp } from '../support/start-app.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const lateral = join(root, 'bin/lateral.mjs');

/** Of an idle standalone sidecar, bundled. It was 69 to 73 when this was written; bare Node is 41 to 44. */
const MAX_IDLE_MB = 80;
/** Longest wait for a state that comes by itself. */
const PATIENCE_MS = 5_000;
/** What a sidecar without collector, control plane and schemas must not load. */
const UNUSED_PACKAGES = /node_modules\/(@grpc|@opentelemetry|protobufjs|@bufbuild|ajv|node-forge|jose)/;

/** Told to Node by NODE_OPTIONS: writes down each module that is loaded, and at SIGUSR2 those built in. */
const OBSERVER = `
const { registerHooks } = require('node:module');
const { appendFileSync } = require('node:fs');
const note = (text) => appendFileSync(process.env.SEEN_FILE, text + '\\n');
registerHooks({ load(url, context, next) { note(url); return next(url, context); } });
process.on('SIGUSR2', () => { for (const name of process.moduleLoadList) note(name); note('end'); });
`;

/** Resolves once the process has printed a line for which `isWanted` holds; to that line. */
function lineOf(stream: Readable, isWanted: (line: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: stream });
    lines.on('line', (line) => {
      if (isWanted(line)) resolve(line);
    });
    lines.on('close', () => reject(new Error('it ended without that line')));
  });
}

async function becomes<T>(look: () => Promise<T>, isWanted: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await look();
    if (isWanted(value) || Date.now() > deadline) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1_024;
}

/** What a file of the bundle is made of, as its source map says; nothing where it has none. */
async function mappedSources(path: string): Promise<readonly string[]> {
  const map = await readFile(`${path}.map`, 'utf8').catch(() => '{"sources":[]}');
  return JSON.parse(map).sources;
}

t.test(
  'a standalone sidecar is small, loads only what it uses, keeps its process ID, and ends with 0',
  {
    skip: process.platform === 'linux' ? false : 'process.execve and /proc are of Linux',
  },
  async (t) => {
    const app = await startApp(t, (_request, response) => response.end());
    const [inbound = 0, admin = 0, metrics = 0] = await freePorts(3);
    const directory = t.testdir({
      policies: { 'a.yaml': ALLOW_ALL },
      'observer.cjs': OBSERVER,
      seen: '',
      'sidecar.yaml': `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server-1, namespace: test, serviceAccount: server}
standalone: {policies: policies, certificate: a.pem, privateKey: a.key, trustBundle: ca.pem}
inbound: [{port: ${inbound}, app: "127.0.0.1:${app.port}"}]
admin: {port: ${admin}}
metrics: {port: ${metrics}}
`,
    });
    const authority = new TestAuthority();
    const { cert, key } = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
    await writeFile(join(directory, 'a.pem'), cert);
    await writeFile(join(directory, 'a.key'), key);
    await writeFile(join(directory, 'ca.pem'), authority.rootPem);
    t.equal(spawnSync(process.execPath, [join(root, 'scripts/build.mjs')]).stderr.toString(), '', 'it can be bundled');

    const start = async (environment: { readonly [name: string]: string }) => {
      // by `env`, which becomes the program: the test runner has its own to say in the NODE_OPTIONS of what it sees start
      const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
      const command = [process.execPath, lateral, 'sidecar', '--config', join(directory, 'sidecar.yaml')];
      const child = spawn('env', [...variables, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
      t.teardown(() => child.kill('SIGKILL'));
      const exit = new Promise((resolve) => child.on('exit', resolve));
      await lineOf(child.stdout, (line) => line.includes('"event":"ready"'));
      return { child, pid: child.pid ?? 0, exit };
    };

    await t.test('memory, flags and process', async (t) => {
      const { child, pid, exit } = await start({ NODE_OPTIONS: '' });
      const commandLine = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
      t.match(commandLine[1], /^--max-semi-space-size=\d+$/, 'the process that was started has the flags');
      const megabytes = await becomes(
        () => residentMegabytes(pid),
        (value) => value < MAX_IDLE_MB,
      );
      t.ok(megabytes < MAX_IDLE_MB, `${megabytes.toFixed(1)} MB resident, at most ${MAX_IDLE_MB}`);
      t.equal((await fetch(`http://127.0.0.1:${metrics}/readyz`)).status, 200);
      child.kill('SIGTERM');
      t.equal(await exit, 0);
    });

    await t.test('modules', async (t) => {
      const seen = join(directory, 'seen');
      const { child, pid, exit } = await start({
        NODE_OPTIONS: `--require=${join(directory, 'observer.cjs')} --max-semi-space-size=4`,
        SEEN_FILE: seen,
      });
      const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8');
      t.notMatch(commandLine, /semi-space/, 'a flag that the user set is left as it is');
      process.kill(pid, 'SIGUSR2');
      const text = await becomes(
        () => readFile(seen, 'utf8'),
        (all) => all.endsWith('end\n'),
      );
      const lines = text.split('\n');
      t.notMatch(text, /deps\/amaro/, 'no type stripper');
      t.notMatch(text, /deps\/undici/, 'no undici');
      const files = lines.filter((line) => line.startsWith('file:')).map((line) => fileURLToPath(line));
      const programs = files.filter((path) => path.includes('/build/lateral/'));
      t.ok(programs.length > 3, 'what runs is the bundle');
      const sources: string[] = [];
      for (const path of files) sources.push(path, ...(path.endsWith('.mjs') ? await mappedSources(path) : []));
      t.match(sources.join('\n'), /node_modules\/yaml\//);
      t.strictSame(sources.join('\n').match(UNUSED_PACKAGES), null);
      child.kill('SIGTERM');
      t.equal(await exit, 0);
    });
  },
);
