import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { openTraceSink } from '../../examples/shop/trace-sink.ts';
import { TestAuthority } from '../support/certificates.ts';
import { freePorts } from '../support/free-ports.ts';
import { ask, startApp } from '../support/start-app.ts';

/** Longest run of a program in the image; an emulated one is slow. */
export const TIMEOUT_MS = 60_000;

/** A command in the image's root, as its user. `env -i`: tap's own loader, which it gives to every child, is not in there. */
export function confined(folder: string, ...args: readonly string[]): [program: string, args: string[]] {
  return ['env', ['-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'chroot', '--userspec=1337:1337', folder, ...args]];
}

/**
 * Starts a sidecar by `lateral` (a command within the image's root), has `look` look at its process, sends a request through it, and
 * ends it: its spans must have left then.
 */
export async function serveInImage(
  t: Test,
  folder: string,
  lateral: readonly string[],
  look: (pid: number | undefined) => void,
): Promise<void> {
  const [port = 0, admin = 0, metrics = 0] = await freePorts(3);
  const collector = await openTraceSink();
  t.teardown(() => collector.close());
  const app = await startApp(t, (_request, response) => response.end());
  const authority = new TestAuthority();
  const own = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
  const state = join(folder, 'tmp/sidecar');
  mkdirSync(join(state, 'policies'), { recursive: true });
  const files = {
    'ca.pem': authority.rootPem,
    'server.pem': own.cert,
    'server.key': own.key,
    'policies/mesh.yaml':
      'apiVersion: lateral.dev/v1alpha1\nkind: MeshDefaults\nmetadata: {name: default, namespace: lateral-system}\nspec: {outbound: AllowAny}\n',
    'sidecar.yaml': `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server-1, namespace: test, serviceAccount: server}
standalone: {policies: ./policies, certificate: server.pem, privateKey: server.key, trustBundle: ca.pem}
outbound: {port: ${port}}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {otlp: "http://127.0.0.1:${collector.port}", accessLog: off}
`,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(state, name), text);
  const [program, args] = confined(folder, ...lateral, 'sidecar', '--config', '/tmp/sidecar/sidecar.yaml');
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const [line] = await once(createInterface({ input: child.stdout }), 'line', { signal });
  t.match(JSON.parse(line), { event: 'ready' });
  t.equal((await fetch(`http://127.0.0.1:${metrics}/readyz`)).status, 200);
  look(child.pid);
  const { status } = await ask(port, { path: '/', headers: { host: `127.0.0.1:${app.port}` } });
  t.equal(status, 200);
  child.kill('SIGTERM');
  t.strictSame(await once(child, 'exit', { signal }), [0, null]);
  t.strictSame(collector.spans.map(({ kind }) => kind).sort(), ['client', 'server'], 'its spans left');
}
