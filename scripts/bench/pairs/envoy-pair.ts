import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../../../test/support/free-ports.ts';
import { clusterOf, downstreamTls, listenerOf, rbac, upstreamTls } from './envoy-configuration.ts';
import type { Ground, Pair } from './pair.ts';

/** Two Envoys: HTTP/2 and mutual TLS between them, an RBAC filter of ten rules, a JSON access log, 1% traced. */
export async function envoyPair(ground: Ground, program: string): Promise<Pair> {
  const { directory, certificates, appPort, protocol, sinkPort, processes } = ground;
  const [port = 0, inboundPort = 0] = await freePorts(2);
  const sink = clusterOf({ name: 'otlp', port: sinkPort, isHttp2: true });
  const run = async (name: string, listenerPort: number, listener: object, next: object) => {
    const path = join(directory, `${name}.json`);
    await writeFile(path, JSON.stringify({ static_resources: { listeners: [listener], clusters: [next, sink] } }));
    const args = ['-c', path, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'error'];
    return await processes.serve(program, args, listenerPort);
  };
  const log = (name: string) => join(directory, `${name}.log`);
  const server = await run(
    'envoy-in',
    inboundPort,
    listenerOf({
      name: 'envoy-in',
      port: inboundPort,
      log: log('envoy-in'),
      filters: [rbac()],
      transport: downstreamTls(certificates),
    }),
    clusterOf({ name: 'next', port: appPort, isHttp2: protocol === 'grpc' }),
  );
  const client = await run(
    'envoy-out',
    port,
    listenerOf({ name: 'envoy-out', port, log: log('envoy-out'), filters: [], transport: undefined }),
    clusterOf({ name: 'next', port: inboundPort, isHttp2: true, transport: upstreamTls(certificates) }),
  );
  return { name: 'envoy', port, inboundPort, client, server };
}
