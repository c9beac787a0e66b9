import type { SidecarConfiguration } from '../configuration/sidecar-configuration.ts';
import { SIDECAR_VERSION } from '../control/sidecar-version.ts';
import { certificateReport } from '../identity/certificate-report.ts';
import { probeRoutes } from '../probes/probe-routes.ts';
import { json, type LocalAnswer, openLocalServer, type Routes, text } from './local-server.ts';
import { type AdminFacts, readinessOf } from './readiness.ts';

const LOOPBACK = '127.0.0.1';
const ANY_ADDRESS = '::';
/** Longest that `/readyz?waitMs=N` holds its answer back, and how often it looks. */
const MAX_READY_WAIT_MS = 10_000;
const READY_POLL_MS = 10;

/**
 * Opens the operator's port (`/livez`, `/readyz`, `/config`, `POST /drain` and what `observation` adds; loopback names
 * only) and the port for probes and scrapers (`/metrics`, `/livez`, `/readyz`, and the app's own probes). With `waitMs`
 * `/readyz` answers as soon as the sidecar is ready, or after that time.
 */
export async function openAdmin(
  configuration: SidecarConfiguration,
  facts: AdminFacts,
  onDrainRequested: () => void,
  observation: Routes,
): Promise<{ close(): Promise<void> }> {
  const probes: Routes = {
    'GET /livez': () => text(200, 'ok'),
    'GET /readyz': (query) => readiness(facts, Number(query.get('waitMs') ?? 0)),
  };
  const admin = await open('admin', configuration.admin, true, {
    ...probes,
    ...observation,
    'GET /config': () => json(200, describe(configuration, facts)),
    'POST /drain': () => {
      onDrainRequested();
      return text(202, 'draining; the sidecar ends when its requests have');
    },
  });
  const scrape = await open('metrics', configuration.metrics, false, {
    ...probes,
    ...probeRoutes(configuration.probes, configuration.workload.address ?? LOOPBACK),
    'GET /metrics': async () => ({
      status: 200,
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
      body: await facts.printMetrics(),
    }),
  });
  return {
    close: async () => {
      await Promise.all([admin.close(), scrape.close()]);
    },
  };
}

async function readiness(facts: AdminFacts, waitMs: number): Promise<LocalAnswer> {
  const deadline = performance.now() + Math.min(waitMs, MAX_READY_WAIT_MS);
  while (!facts.isReady() && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
  return readinessOf(facts, Date.now());
}

async function open(
  name: string,
  where: { readonly port: number; readonly address: string | undefined },
  loopbackOnly: boolean,
  routes: Routes,
) {
  const address = where.address ?? LOOPBACK;
  try {
    // without an address Node takes `::`, or 0.0.0.0 on a machine that has no IPv6
    const bound = address === ANY_ADDRESS ? undefined : address;
    return await openLocalServer({ port: where.port, address: bound, loopbackOnly }, routes);
  } catch (error) {
    throw new Error(
      `cannot open ${name} on ${address}:${where.port}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function describe(configuration: SidecarConfiguration, { policy, certificate }: AdminFacts): object {
  const inUse = certificate();
  return {
    sidecarVersion: SIDECAR_VERSION,
    configuration,
    certificate: inUse === undefined ? null : certificateReport(inUse.source.current(), inUse.renewals),
    policy: {
      version: policy.snapshot?.version ?? null,
      appliedAt: policy.appliedAtMs === 0 ? null : new Date(policy.appliedAtMs).toISOString(),
      refusedReasons: policy.lastReasons,
      defaults: policy.defaults ?? null,
      resources: policy.snapshot?.resources.map(({ key, version }) => ({ key, version })) ?? [],
    },
  };
}
