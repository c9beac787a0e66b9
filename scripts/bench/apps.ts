import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../test/support/free-ports.ts';
import { installed } from './installed.ts';
import { argumentsOf, type Loader } from './loader.ts';
import { PAGES } from './pages.ts';
import { nginxFrame } from './pairs/nginx-pair.ts';
import type { Processes } from './processes.ts';

const pagesApp = fileURLToPath(new URL('./pages-app.ts', import.meta.url));

/** `pages`: small answers from files. `streams`: long bodies both ways. `grpc`: unary calls over h2c. */
export type AppKind = 'pages' | 'streams' | 'grpc';

/** Starts an app that is faster than the proxies before it; resolves with its port. */
export async function startApp(
  kind: AppKind,
  processes: Processes,
  directory: string,
  loader: Loader | undefined,
): Promise<number> {
  const [port = 0] = await freePorts(1);
  if (kind === 'pages') await startPages(processes, directory, port);
  else if (loader === undefined) throw new Error(`the app for ${kind} is the loader's, which is not there`);
  else await processes.serve(loader.program, argumentsOf(kind === 'grpc' ? 'grpc-server' : 'app', { port }), port);
  return port;
}

/** nginx where it is installed (as the acceptance runs do), else Node. */
async function startPages(processes: Processes, directory: string, port: number): Promise<void> {
  const nginx = installed('nginx');
  if (nginx === undefined) {
    await processes.serve(process.execPath, [pagesApp, String(port)], port);
    return;
  }
  for (const [name, bytes] of Object.entries(PAGES)) await writeFile(join(directory, name), 'x'.repeat(bytes));
  const path = join(directory, 'app.conf');
  const server = `access_log off; server { listen 127.0.0.1:${port}; location / { root ${directory}; } }`;
  await writeFile(path, nginxFrame(directory, 'app', server));
  await processes.serve(nginx, ['-c', path], port);
}
