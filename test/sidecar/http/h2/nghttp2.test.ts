import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Http2Upstream } from '#sidecar/http/h2/upstream.ts';
import type { OutgoingRequest } from '#sidecar/http/message.ts';
import { freePorts } from '../../../support/free-ports.ts';
import { outgoingRequest, readWhole } from '../../../support/outgoing-request.ts';
import { patterned, startEcho } from './echo-listener.ts';

const SIZES = [0, 1, 16_384, 65_535, 65_536, 262_145, 1_000_000, 8 * 1_024 * 1_024];
const RUN_TIMEOUT_MS = 30_000;
const START_TIMEOUT_MS = 5_000;

/** The program of nghttp2 on this machine (Debian: nghttp2-client, nghttp2-server); undefined where there is none. */
function find(name: string): string | undefined {
  return [name, `/usr/sbin/${name}`, `/usr/bin/${name}`].find(
    (path) => spawnSync(path, ['--version'], { stdio: 'ignore' }).status === 0,
  );
}

const nghttp = find('nghttp');
const nghttpd = find('nghttpd');
const h2load = find('h2load');

/** Tells, aloud, that something is not tested on this machine. */
function skipWithout(path: string | undefined, name: string): { skip?: string } {
  if (path !== undefined) return {};
  const reason = `no ${name} on this machine`;
  process.stderr.write(`SKIPPED ${import.meta.filename}: ${reason}\n`);
  return { skip: reason };
}

function run(path: string, args: readonly string[]): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      path,
      args,
      { timeout: RUN_TIMEOUT_MS, encoding: 'buffer', maxBuffer: 64 * 1_024 * 1_024 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr: stderr.toString() });
      },
    );
  });
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

t.test('nghttp asks us', skipWithout(nghttp, 'nghttp'), async (t) => {
  const echo = await startEcho(t);
  const { port } = echo;
  const url = `http://127.0.0.1:${port}`;
  const file = join(t.testdir(), 'body');
  const ask = (...args: string[]) => run(nghttp ?? '', args);
  for (const size of SIZES) {
    const bytes = patterned(size);
    writeFileSync(file, bytes);
    const down = await ask(`${url}/bytes/${size}`);
    t.ok(down.stdout.equals(bytes), `${size} bytes down: ${down.stderr}`);
    if (size === 0) continue; // nghttp sends no body of 0 bytes
    const back = await ask('-d', file, `${url}/back`);
    t.ok(back.stdout.equals(bytes), `${size} bytes there and back: ${back.stderr}`);
  }

  const bytes = patterned(8_000_000);
  writeFileSync(file, bytes);
  const padded = await ask('-d', file, '-b', '255', `${url}/hash`);
  t.equal(padded.stdout.toString(), sha256(bytes), `padded DATA and HEADERS: ${padded.stderr}`);
  const windows = await ask('-w', '10', '-W', '12', '-d', file, `${url}/hash`);
  t.equal(windows.stdout.toString(), sha256(bytes), `small windows of its own: ${windows.stderr}`);
  const small = await ask('-w', '8', '-W', '9', `${url}/bytes/300000`);
  t.ok(small.stdout.equals(patterned(300_000)), `windows of 256 and 512 bytes: ${small.stderr}`);
  const pieces = await ask('--continuation', '-H', `x-long: ${'y'.repeat(20_000)}`, `${url}/bytes/10`);
  t.ok(pieces.stdout.equals(patterned(10)), `CONTINUATION: ${pieces.stderr}`);
  const continued = await ask('--expect-continue', '-d', file, `${url}/hash`);
  t.equal(continued.stdout.toString(), sha256(bytes), `Expect: 100-continue: ${continued.stderr}`);
  const tables = await ask('-c', '0', '--encoder-header-table-size', '0', '-m', '5', `${url}/bytes/10`);
  t.equal(tables.stdout.length, 50, `no dynamic tables: ${tables.stderr}`);
  const early = await ask('-v', '-d', file, `${url}/early`);
  const toldEarly = early.stdout.toString('latin1');
  t.ok(toldEarly.includes(':status: 413') && toldEarly.includes('too much'), 'an early answer');
  t.ok(/recv RST_STREAM[\s\S]*NO_ERROR/.test(toldEarly));
  writeFileSync(file, 'a body');
  const trailed = await ask('-v', '-d', file, '--trailer', 'x-sum: 1', `${url}/back`);
  t.match(trailed.stdout.toString('latin1'), /recv \(stream_id=\d+, sensitive\) x-sum: 1/, 'trailers, there and back');
  await ask('-t', '1', `${url}/hold`);
  t.strictSame(echo.abandoned.at(-1), '/hold', 'one that it gave up');
  const unfinished = await ask('-v', `${url}/reset`);
  t.match(unfinished.stdout.toString('latin1'), /recv RST_STREAM[\s\S]*INTERNAL_ERROR/, 'an answer that breaks off');
});

t.test('h2load asks us: many at once', skipWithout(h2load, 'h2load'), async (t) => {
  const { port } = await startEcho(t);
  const file = join(t.testdir(), 'body');
  writeFileSync(file, patterned(20_000));
  const load = (...args: string[]) => run(h2load ?? '', args);
  for (const [title, args] of [
    [
      '2,000 requests, 4 connections, 100 streams each',
      ['-n', '2000', '-c', '4', '-m', '100', `http://127.0.0.1:${port}/bytes/1000`],
    ],
    ['with bodies', ['-n', '500', '-c', '2', '-m', '50', '-d', file, `http://127.0.0.1:${port}/back`]],
    [
      'with answers larger than the windows',
      ['-n', '100', '-c', '2', '-m', '50', '-w', '14', '-W', '15', `http://127.0.0.1:${port}/bytes/100000`],
    ],
    ['one stream after the other', ['-n', '300', '-c', '3', '-m', '1', `http://127.0.0.1:${port}/bytes/10`]],
  ] as const) {
    const { stdout, stderr } = await load(...args);
    const told = stdout.toString();
    t.match(told, new RegExp(`${args[1]} succeeded, 0 failed, 0 errored, 0 timeout`), `${title}: ${stderr}`);
    t.match(told, new RegExp(`status codes: ${args[1]} 2xx, 0 3xx, 0 4xx, 0 5xx`), title);
  }
});

async function startNghttpd(t: Test, ...args: string[]): Promise<number> {
  const [port = 0] = await freePorts(1);
  const folder = t.testdir(Object.fromEntries(SIZES.map((size) => [`${size}`, patterned(size)])));
  const child: ChildProcess = spawn(
    nghttpd ?? '',
    ['--no-tls', '-a', '127.0.0.1', '-d', folder, '--echo-upload', ...args, `${port}`],
    { stdio: 'ignore' },
  );
  t.teardown(() => child.kill());
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('connect', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (isOpen) return port;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('nghttpd did not start');
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly trailers: readonly string[];
}

async function ask(
  upstream: Http2Upstream,
  method: string,
  path: string,
  body: OutgoingRequest['body'] = null,
): Promise<Answer> {
  const headers = ['host', 'server.test', 'user-agent', 'test'];
  const request = outgoingRequest({ method, target: path, headers, version: '2' }, { body });
  const { head, body: incoming } = await upstream.send(request).response;
  return { status: head.status, ...(await readWhole(incoming)) };
}

t.test('we ask nghttpd', skipWithout(nghttpd, 'nghttpd'), async (t) => {
  for (const [title, args] of [
    ['as it is', []],
    ['with padding', ['-b', '255']],
    ['with trailers', ['--trailer', 'x-sum: 1']],
    ['with small windows', ['-w', '10', '-W', '11']],
    ['with few streams', ['-m', '3']],
    ['without a table', ['-c', '0', '--encoder-header-table-size', '0']],
  ] as const) {
    const upstream = new Http2Upstream({ address: '127.0.0.1', port: await startNghttpd(t, ...args) });
    t.teardown(() => upstream.close());
    for (const size of title === 'as it is' ? SIZES : SIZES.slice(0, -1)) {
      const bytes = patterned(size);
      const down = await ask(upstream, 'GET', `/${size}`);
      t.ok(down.status === 200 && down.body.equals(bytes), `${title}: ${size} bytes down`);
      if (title === 'with trailers') t.strictSame(down.trailers, ['x-sum', '1'], title);
      const back = await ask(upstream, 'POST', '/back', bytes);
      t.ok(back.body.equals(bytes), `${title}: ${size} bytes there and back`);
    }
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(upstream, 'GET', '/65535')));
    t.ok(
      answers.every(({ body }) => body.equals(patterned(65_535))),
      `${title}: 100 at once`,
    );
    t.equal((await ask(upstream, 'HEAD', '/65535')).body.length, 0, title);
    t.equal((await ask(upstream, 'GET', '/none')).status, 404, title);
  }
});
