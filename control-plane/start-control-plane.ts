import { createAuthority, LEAF_LIFETIME_MS } from './authority/authority.ts';
import { openAuthorityDirectory } from './authority/authority-directory.ts';
import {
  type ControlPlaneCertificate,
  issueControlPlaneCertificate,
  keepControlPlaneCertificate,
} from './authority/control-plane-certificate.ts';
import type { ControlPlaneConfiguration } from './configuration.ts';
import { createPolicyDistribution } from './discovery/policy-distribution.ts';
import { createSidecarRegistry } from './discovery/sidecar-registry.ts';
import type { EventLog } from './event-log.ts';
import { startControlPlaneServer } from './grpc/control-plane-server.ts';
import { createObservationLog } from './observation/observation-log.ts';
import { startPolicyFolder } from './source/policy-folder.ts';
import { createMetrics } from './status/metrics.ts';
import { statusPages } from './status/status-pages.ts';
import { type StatusServer, startStatusServer } from './status/status-server.ts';
import { openTokenStore } from './tokens/token-store.ts';

/** Records of expired join tokens are removed this often. */
const TOKEN_PURGE_INTERVAL_MS = 10 * 60_000;

export interface ControlPlaneOptions {
  readonly log: EventLog;
  /** Takes `file:line:column: severity code message`, one a line. */
  readonly printProblems: (lines: readonly string[]) => void;
  /** Default LEAF_LIFETIME_MS. */
  readonly leafLifetimeMs?: number;
  /** Default HEARTBEAT_INTERVAL_MS. */
  readonly heartbeatIntervalMs?: number;
}

export interface RunningControlPlane {
  /** `HOST:PORT` of the gRPC server. */
  readonly address: string;
  /** Port of the status server on loopback. */
  readonly statusPort: number | undefined;
  readonly trustBundlePem: string;
  /** Version of all resources in force. */
  readonly policyVersion: string;
  close(): Promise<void>;
}

/**
 * Starts a control plane: authority, policies, gRPC, status, in this order. It serves once this resolves. Throws
 * with one sentence when a part cannot start; what was started is then closed.
 */
export async function startControlPlane(
  configuration: ControlPlaneConfiguration,
  options: ControlPlaneOptions,
): Promise<RunningControlPlane> {
  const { mesh, tokenDirectory, statusPort } = configuration;
  const { log, leafLifetimeMs = LEAF_LIFETIME_MS } = options;
  const now = Date.now;
  const closers: (() => void | Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const material = await openAuthorityDirectory(configuration.authorityDirectory, mesh, now());
    const authority = createAuthority(material, { leafLifetimeMs, now });
    const tokens = tokenDirectory === undefined ? undefined : await openTokenStore(tokenDirectory, now);
    if (tokens !== undefined) {
      const purge = () => tokens.purge().catch((error: unknown) => log('token_purge_failed', { error: String(error) }));
      await purge();
      const timer = setInterval(() => void purge(), TOKEN_PURGE_INTERVAL_MS);
      closers.push(() => clearInterval(timer));
    }
    const metrics = createMetrics();
    const distribution = createPolicyDistribution(mesh);
    const registry = createSidecarRegistry();
    const observations = createObservationLog();
    const folder = await startPolicyFolder({
      directory: configuration.policyDirectory,
      lastGoodFile: configuration.lastGoodFile,
      mesh,
      distribution,
      metrics,
      log,
      printProblems: options.printProblems,
    });
    closers.push(() => folder.close());

    const identityOf = (certificate: ControlPlaneCertificate) => ({
      ...certificate,
      trustBundlePem: authority.trustBundlePem,
    });
    const certificate = issueControlPlaneCertificate(authority, mesh);
    const server = await startControlPlaneServer({
      authority,
      tokens,
      mesh,
      metrics,
      log,
      now,
      distribution,
      registry,
      observations,
      listen: configuration.listen,
      identity: identityOf(certificate),
      ...(options.heartbeatIntervalMs === undefined ? {} : { heartbeatIntervalMs: options.heartbeatIntervalMs }),
    });
    closers.push(() => server.close());
    const renew = (): ControlPlaneCertificate => {
      const renewed = issueControlPlaneCertificate(authority, mesh);
      server.renewIdentity(identityOf(renewed));
      return renewed;
    };
    closers.push(
      keepControlPlaneCertificate(certificate, renew, (error) => log('own_renewal_failed', { error: String(error) })),
    );

    let status: StatusServer | undefined;
    if (statusPort !== undefined) {
      const { issuerNotAfterMs } = authority;
      const facts = { registry, observations, metrics, source: folder.status, isServing: () => true, issuerNotAfterMs };
      status = await startStatusServer(statusPort, statusPages(facts));
      const started = status;
      closers.push(() => started.close());
    }
    return {
      address: server.address,
      statusPort: status?.port,
      trustBundlePem: authority.trustBundlePem,
      get policyVersion() {
        return folder.status().version;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
