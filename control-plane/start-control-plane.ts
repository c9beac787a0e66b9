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
import { type ControlPlaneServerOptions, startControlPlaneServer } from './grpc/control-plane-server.ts';
import { createObservationLog } from './observation/observation-log.ts';
import { startPolicyFolder } from './source/policy-folder.ts';
import { createMetrics } from './status/metrics.ts';
import { statusPages } from './status/status-pages.ts';
import { startStatusServer } from './status/status-server.ts';
import { openTokenStore, type TokenStore } from './tokens/token-store.ts';

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
  policyVersion(): string;
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
  const closers: Closer[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    return { ...(await start(configuration, options, closers)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What ends a part that was started; run in reverse order. */
type Closer = () => void | Promise<void>;

async function start(
  configuration: ControlPlaneConfiguration,
  options: ControlPlaneOptions,
  closers: Closer[],
): Promise<Omit<RunningControlPlane, 'close'>> {
  const { mesh, statusPort } = configuration;
  const { log, printProblems, leafLifetimeMs = LEAF_LIFETIME_MS } = options;
  const now = Date.now;
  const material = await openAuthorityDirectory(configuration.authorityDirectory, mesh, now());
  const authority = createAuthority(material, { leafLifetimeMs, now });
  const tokens = await startTokenStore(configuration.tokenDirectory, log, closers);
  const metrics = createMetrics();
  const distribution = createPolicyDistribution(mesh);
  const registry = createSidecarRegistry();
  const observations = createObservationLog();
  const shared = { mesh, metrics, distribution, log, printProblems };

  const { policyDirectory: directory, lastGoodFile } = configuration;
  const folder = await startPolicyFolder({ ...shared, directory, lastGoodFile });
  closers.push(() => folder.close());

  const source = () => folder.status;
  const services = { ...shared, authority, tokens, registry, observations, source, now };
  const address = await startServer(configuration, options, services, closers);

  const { issuerNotAfterMs } = authority;
  const facts = { registry, observations, metrics, source, issuerNotAfterMs };
  const status = statusPort === undefined ? undefined : await startStatusServer(statusPort, statusPages(facts));
  if (status !== undefined) closers.push(() => status.close());
  return {
    address,
    statusPort: status?.port,
    trustBundlePem: authority.trustBundlePem,
    policyVersion: () => folder.status.version,
  };
}

async function startTokenStore(
  directory: string | undefined,
  log: EventLog,
  closers: Closer[],
): Promise<TokenStore | undefined> {
  if (directory === undefined) return undefined;
  const tokens = await openTokenStore(directory, Date.now);
  const purge = () => tokens.purge().catch((error: unknown) => log('token_purge_failed', { error: String(error) }));
  await purge();
  const timer = setInterval(() => void purge(), TOKEN_PURGE_INTERVAL_MS);
  closers.push(() => clearInterval(timer));
  return tokens;
}

/** Serves gRPC under the control plane's own certificate, and keeps that fresh; resolves to the address. */
async function startServer(
  { listen, mesh }: ControlPlaneConfiguration,
  { heartbeatIntervalMs }: ControlPlaneOptions,
  services: Omit<ControlPlaneServerOptions, 'listen' | 'identity'>,
  closers: Closer[],
): Promise<string> {
  const { authority, log } = services;
  const { trustBundlePem } = authority;
  const certificate = issueControlPlaneCertificate(authority, mesh);
  const server = await startControlPlaneServer({
    ...services,
    listen,
    identity: { ...certificate, trustBundlePem },
    ...(heartbeatIntervalMs === undefined ? {} : { heartbeatIntervalMs }),
  });
  closers.push(() => server.close());
  const renew = (): ControlPlaneCertificate => {
    const renewed = issueControlPlaneCertificate(authority, mesh);
    server.renewIdentity({ ...renewed, trustBundlePem });
    return renewed;
  };
  closers.push(
    keepControlPlaneCertificate(certificate, renew, (error) => log('own_renewal_failed', { error: String(error) })),
  );
  return server.address;
}
