import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { DESCRIPTOR_SHARE } from '#sidecar/pressure/connection-budget.ts';
import { until } from '../../support/inbound-sidecar.ts';
import { exchangeBytes } from '../../support/raw-http.ts';

const PROGRAM = fileURLToPath(new URL('plain-listener.ts', import.meta.url));
const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const TICKS_PER_SECOND = 100;

/** The listener, with so few file descriptors. */
async function start(t: Test, descriptors: number) {
  const child = spawn('sh', ['-c', `ulimit -n ${descriptors}; exec "$0" "$@"`, process.execPath, PROGRAM]);
  t.teardown(() => child.kill('SIGKILL'));
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (text) => resolve(Number(text)));
    child.once('exit', () => reject(new Error(errors)));
  });
  const processorSeconds = async () => {
    const stat = await readFile(`/proc/${child.pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  };
  return { child, port, processorSeconds, errors: () => errors };
}

function connectMany(t: Test, port: number, count: number) {
  const sockets = Array.from({ length: count }, () => net.connect(port, '127.0.0.1'));
  let closed = 0;
  for (const socket of sockets) {
    socket.on('error', () => {});
    socket.on('close', () => closed++);
  }
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  return { sockets, closed: () => closed };
}

t.test(
  'with few file descriptors connections wait before there are none, and the process goes on',
  { skip: process.platform === 'linux' ? false : '/proc is of Linux' },
  async (t) => {
    const descriptors = 200;
    const { child, port, processorSeconds, errors } = await start(t, descriptors);
    const { sockets, closed } = connectMany(t, port, 110);
    await until(() => sockets.every(({ readyState }) => readyState === 'open'));
    t.equal(closed(), 0, `${descriptors * DESCRIPTOR_SHARE} are served, the others wait`);
    for (const socket of sockets) socket.destroy();
    t.match(await exchangeBytes(port, GET, 3_000), /^HTTP\/1\.1 200 OK/);

    await t.test('and when there are none it neither spins nor ends', async (t) => {
      const more = connectMany(t, port, 400);
      await until(() => more.closed() > 0);
      await new Promise((resolve) => setTimeout(resolve, 500));
      const before = await processorSeconds();
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const used = (await processorSeconds()) - before;
      t.ok(used < 0.5, `${used} s of processor time in a second`);
      t.equal(child.exitCode, null, errors());
      for (const socket of more.sockets) socket.destroy();
      let answer = '';
      await until(async () => {
        answer = await exchangeBytes(port, GET, 1_000);
        return answer !== '';
      });
      t.match(answer, /^HTTP\/1\.1 200 OK/);
      t.equal(child.exitCode, null, errors());
    });
  },
);
