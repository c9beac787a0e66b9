import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import http2 from 'node:http2';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { TestAuthority } from '../support/certificates.ts';
import { freePorts } from '../support/free-ports.ts';
import { ALLOW_ALL } from '../support/sidecar-pair.ts';
import { startApp } from '../support/start-app.ts';

/** The target of the project; a bare TLS server of Node takes 62 of it, and so did the sidecar when this was written. */
const MAX_TLS_KB = 80;
/** It was 15. */
const MAX_PLAIN_KB = 30;
const WARM_UP = 50;
const CONNECTIONS = 250;
const AT_ONCE = 16;
const GET = 'GET / HTTP/1.1\r\nHost: server.test\r\n\r\n';

/** A sidecar in a process of its own, inbound and outbound. */
async function start(t: Test) {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const [inbound = 0, outbound = 0, admin = 0, metrics = 0] = await freePorts(4);
  const directory = t.testdir({
    policies: {
      'a.yaml': `${ALLOW_ALL}---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: server, namespace: test}
spec:
  hosts: [server.test]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${inbound}, serviceAccount: server}]
`,
    },
    'sidecar.yaml': `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server-1, namespace: test, serviceAccount: server}
standalone: {policies: policies, certificate: a.pem, privateKey: a.key, trustBundle: ca.pem}
inbound: [{port: ${inbound}, app: "127.0.0.1:${app.port}"}]
outbound: {port: ${outbound}}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {accessLog: "off"}
`,
  });
  const authority = new TestAuthority();
  const own = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
  await writeFile(join(directory, 'a.pem'), own.cert);
  await writeFile(join(directory, 'a.key'), own.key);
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);
  const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));
  const child = spawn(process.execPath, [lateral, 'sidecar', '--config', join(directory, 'sidecar.yaml')], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (text) => String(text).includes('"ready"') && resolve());
    child.on('exit', () => reject(new Error('it ended')));
  });
  const secureContext = tls.createSecureContext({
    ...authority.leaf('spiffe://cluster.local/ns/test/sa/client'),
    ca: authority.rootPem,
    minVersion: 'TLSv1.3',
  });
  return { pid: child.pid ?? 0, inbound, outbound, secureContext };
}

/** kB resident for each of CONNECTIONS, after one request each. */
async function kilobytesEach(pid: number, connect: () => Promise<void>): Promise<number> {
  const resident = async () => Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
  const open = async (count: number) => {
    let left = count;
    const one = async () => {
      while (left-- > 0) await connect();
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  };
  await open(WARM_UP);
  const before = await resident();
  await open(CONNECTIONS);
  return ((await resident()) - before) / CONNECTIONS;
}

function answered(t: Test, socket: net.Socket): Promise<void> {
  t.teardown(() => socket.destroy());
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.once('data', () => resolve());
    socket.write(GET);
  });
}

t.test(
  'an idle connection costs little memory',
  { skip: process.platform === 'linux' ? false : '/proc is of Linux' },
  async (t) => {
    const { pid, inbound, outbound, secureContext } = await start(t);
    const secure = (protocol: string) =>
      tls.connect({
        port: inbound,
        host: '127.0.0.1',
        secureContext,
        checkServerIdentity: () => undefined,
        ALPNProtocols: [protocol],
      });
    const ways: [string, number, () => Promise<void>][] = [
      ['plaintext', MAX_PLAIN_KB, () => answered(t, net.connect(outbound, '127.0.0.1'))],
      ['mutual TLS, HTTP/1.1', MAX_TLS_KB, () => answered(t, secure('http/1.1'))],
      [
        'mutual TLS, HTTP/2',
        MAX_TLS_KB,
        () =>
          new Promise((resolve, reject) => {
            const session = http2.connect('https://server.test', { createConnection: () => secure('h2') });
            t.teardown(() => session.destroy());
            session.on('error', reject);
            const stream = session.request({ ':path': '/' });
            stream.on('close', resolve);
            stream.resume();
          }),
      ],
    ];
    for (const [title, limit, connect] of ways) {
      const kilobytes = await kilobytesEach(pid, connect);
      t.ok(kilobytes < limit, `${title}: ${kilobytes.toFixed(1)} kB, at most ${limit}`);
    }
  },
);
