import type { ControlPlaneConfiguration } from '../configuration.ts';
import { probePages, type StatusFacts } from '../status/status-pages.ts';
import { servePages } from '../status/status-server.ts';
import type { Closer } from './closer.ts';

/** Serves the probes of the kubelet before anything else: what waits for the API server is alive, and not ready. */
export async function startProbes({ metrics }: ControlPlaneConfiguration, closers: Closer[]) {
  let notReady: string | undefined = 'the authority is not there yet';
  let facts: StatusFacts | undefined;
  const listener = metrics === undefined ? undefined : { ...metrics, field: 'metrics', isLoopbackOnly: false };
  const pages = probePages(
    () => facts,
    () => notReady,
  );
  const server = listener === undefined ? undefined : await servePages(listener, pages);
  if (server !== undefined) closers.push(() => server.close());
  return {
    port: server?.port,
    waitsFor(reason: string) {
      notReady = reason;
    },
    ready(known: StatusFacts) {
      facts = known;
      notReady = undefined;
    },
  };
}
