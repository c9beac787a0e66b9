#!/usr/bin/env node
// Entry of `lateral`. Plain JavaScript that any Node from 20 reads: it goes on in the Node that the
// install brought where the machine's own is too old to run the sources, and starts the sidecar and the control plane with
// their flags.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { controlPlaneEnvironment, missingControlPlaneFlags } from './control-plane-flags.mjs';
import { missingSidecarFlags } from './sidecar-flags.mjs';

const MIN_NODE_MAJOR = 26;
const root = fileURLToPath(new URL('..', import.meta.url));
const self = fileURLToPath(import.meta.url);
const args = process.argv.slice(2);

/** Flags for a Node of that major version, to be given besides `execArgv`. */
const flagsFor = (major, execArgv) => {
  if (args[0] === 'sidecar') return missingSidecarFlags(major, execArgv, process.env.NODE_OPTIONS);
  return args[0] === 'control-plane' ? missingControlPlaneFlags(major, execArgv, process.env.NODE_OPTIONS) : [];
};
const environment = args[0] === 'control-plane' ? controlPlaneEnvironment(process.env) : process.env;
const major = Number(process.versions.node.split('.')[0]);
if (major < MIN_NODE_MAJOR) {
  const node = `${root}node_modules/node/bin/node`;
  if (!existsSync(node)) {
    process.stderr.write(`lateral: needs Node ${MIN_NODE_MAJOR}; run "npm ci" in ${root} to install it\n`);
    process.exit(1);
  }
  const flags = flagsFor(MIN_NODE_MAJOR, []);
  become(node, flags);
  const { spawn } = await import('node:child_process');
  const child = spawn(node, [...flags, self, ...args], { stdio: 'inherit', env: environment });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 0 : 1)));
} else {
  const flags = flagsFor(major, process.execArgv);
  if (flags.length > 0) become(process.execPath, [...flags, ...process.execArgv]);
  const { enableCompileCache } = await import('node:module');
  enableCompileCache();
  const { findBundle } = await import('./find-bundle.mjs');
  const { main } = await import(findBundle(root) ?? '../cli/main.ts');
  const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const io = {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
  };
  const code = await main(args, io, version);
  // a pipe takes what was written in its own time, and an exit would lose what it has not taken
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((taken) => stream.write('', taken))));
  // what a failed start left open (ports, retries) must not keep the program alive
  process.exit(code);
}

/**
 * Goes on as another program in the same process: its ID, environment and streams stay, so signals reach it and nobody
 * waits in between. Returns where that cannot be done (Node before 22.15, not Linux, a permission model that forbids it).
 */
function become(node, nodeFlags) {
  if (process.platform !== 'linux' || process.execve === undefined) return;
  try {
    process.execve(node, [node, ...nodeFlags, self, ...args], environment);
  } catch {
    // the caller goes on without
  }
}
