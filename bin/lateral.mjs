#!/usr/bin/env node
// Entry of `lateral`. Plain JavaScript that any Node from 20 reads: it goes on in the Node that the
// install brought where the machine's own is too old to run the sources.
import { existsSync, readFileSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

const MIN_NODE_MAJOR = 26;
const root = fileURLToPath(new URL('..', import.meta.url));

if (Number(process.versions.node.split('.')[0]) < MIN_NODE_MAJOR) {
  const node = `${root}node_modules/node/bin/node`;
  if (!existsSync(node)) {
    process.stderr.write(`lateral: needs Node ${MIN_NODE_MAJOR}; run "npm ci" in ${root} to install it\n`);
    process.exit(1);
  }
  const { spawn } = await import('node:child_process');
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 0 : 1)));
} else {
  module.enableCompileCache?.();
  const { main } = await import('../cli/main.ts');
  const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const io = {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
  };
  // what a failed start left open (ports, retries) must not keep the program alive
  process.exit(await main(process.argv.slice(2), io, version));
}
