import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { freePorts } from '../../../support/free-ports.ts';

const START_TIMEOUT_MS = 5_000;

/** The nginx of this machine; undefined where there is none. */
export function findNginx(): string | undefined {
  for (const path of ['nginx', '/usr/sbin/nginx'])
    if (spawnSync(path, ['-v'], { stdio: 'ignore' }).status === 0) return path;
  return undefined;
}

/**
 * An nginx that reads requests whole and passes each on, as it understood it, to `appPort`; `x-sender-port` says on which
 * connection it came. Resolves to its port; ends with the test.
 */
export async function startNginx(t: Test, program: string, appPort: number): Promise<number> {
  const directory = t.testdir();
  const [port = 0] = await freePorts(1);
  mkdirSync(join(directory, 'logs'));
  const configuration = `
daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log ${directory}/logs/error.log crit;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  upstream app { server 127.0.0.1:${appPort}; keepalive 16; }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 0;
    merge_slashes off;
    location / {
      proxy_http_version 1.1;
      proxy_ignore_client_abort on;
      proxy_set_header Connection "";
      proxy_set_header Expect "";
      proxy_set_header x-sender-port $remote_port;
      proxy_pass http://app;
    }
  }
}
`;
  writeFileSync(join(directory, 'nginx.conf'), configuration);
  const child = spawn(program, ['-p', directory, '-c', join(directory, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  t.teardown(() => child.kill());
  await listening(port, child);
  return port;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && child.exitCode === null) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('nginx did not start');
}
