import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const program = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));
const LINES = 3_000;

t.test('a slow reader of a pipe gets every line', async (t) => {
  const directory = t.testdir();
  await mkdir(join(directory, 'policies'));
  const request = JSON.stringify({ to: { namespace: 'shop', name: 'orders', port: 8080 }, method: 'GET', path: '/' });
  await writeFile(join(directory, 'batch'), `${request}\n`.repeat(LINES));
  const args = ['authz', '--policies', join(directory, 'policies'), '--batch', join(directory, 'batch')];
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  await wait(3_000); // it has decided long since, and the pipe is full
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  t.equal(await ended, 0);
  t.equal(output.split('\n').length - 1, LINES);
});
