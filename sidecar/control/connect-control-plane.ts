import { readFile } from 'node:fs/promises';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Mesh, Workload } from '#policy/workload-policy.ts';
import type { CredentialSource } from '../identity/credentials.ts';
import type { PolicySource } from '../policy/policy-source.ts';
import { keepCertificate } from './certificate-keeper.ts';
import type { ControlLog } from './control-log.ts';
import { DecisionReporter } from './decision-reporter.ts';
import { DiscoveryClient } from './discovery-client.ts';
import { type OpenTap, relayTap } from './relay-tap.ts';
import { openStateDirectory } from './state-directory.ts';

/** Largest token file that is read. */
const MAX_TOKEN_LENGTH = 4_096;

export interface ControlPlaneConnectionOptions {
  /** `HOST:PORT`. */
  readonly address: string;
  /** Roots by which the control plane is believed; PEM. */
  readonly trustBundlePem: string;
  /** File of the join token, read each time one is needed; undefined: none, a stored identity must do. */
  readonly tokenFile: string | undefined;
  readonly workload: Workload;
  readonly mesh: Mesh;
  /** The app's ports behind this sidecar. */
  readonly ports: readonly number[];
  /** Absolute; undefined: nothing is kept across restarts. */
  readonly stateDirectory: string | undefined;
  readonly log: ControlLog;
  /** Opens a tap of the access log, if there is room; default: there is none. */
  readonly openTap?: OpenTap;
  /** Milliseconds since the epoch; default Date.now. */
  readonly now?: () => number;
  /** Default HEARTBEAT_INTERVAL_MS. */
  readonly heartbeatIntervalMs?: number;
  /** Ends the wait for the first certificate; the promise then rejects. */
  readonly signal?: AbortSignal;
}

export interface ControlPlaneConnection {
  readonly credentials: CredentialSource;
  readonly policies: PolicySource;
  /** Takes ended exchanges for the control plane. */
  readonly observer: DecisionReporter;
  close(): Promise<void>;
}

/**
 * Gets the sidecar its identity and opens its sources of policies and certificates. Resolves once a certificate is
 * there (from the state directory or the control plane) and waits for one as long as it takes, saying why in the
 * log. Rejects when the signal is aborted meanwhile.
 */
export async function connectControlPlane(options: ControlPlaneConnectionOptions): Promise<ControlPlaneConnection> {
  const { address, trustBundlePem, workload, mesh, ports, stateDirectory, log, now = Date.now } = options;
  const endpoint = { address, trustBundlePem, mesh };
  const identity = spiffeId(mesh.trustDomain, workload.namespace, workload.serviceAccount);
  const state = stateDirectory === undefined ? undefined : openStateDirectory(stateDirectory);
  const token = () => readToken(options.tokenFile, log);
  const signal = options.signal ?? new AbortController().signal;
  const credentials = await keepCertificate({ endpoint, identity, token, state, log, now }, signal);
  if (credentials === undefined) throw new Error('ended before a certificate was there');
  const observer = new DecisionReporter(workload.name);
  const policies = new DiscoveryClient({
    endpoint,
    credentials,
    identity,
    workload,
    ports,
    state,
    log,
    now,
    onConnected: (client) => observer.attach(client),
    onTapOrder: (client, order) => relayTap(client, order, options.openTap ?? (() => false)),
    ...(options.heartbeatIntervalMs === undefined ? {} : { heartbeatIntervalMs: options.heartbeatIntervalMs }),
  });
  return {
    credentials,
    policies,
    observer,
    async close() {
      observer.close();
      policies.close();
      credentials.close();
      await policies.finished;
    },
  };
}

/** The token as it stands in its file now; a file that cannot be read or is empty is said so in the log. */
async function readToken(file: string | undefined, log: ControlLog): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    const token = (await readFile(file, 'utf8')).trim();
    if (token !== '' && token.length <= MAX_TOKEN_LENGTH) return token;
    log('token_not_read', {
      file,
      reason: token === '' ? 'the file is empty' : `longer than ${MAX_TOKEN_LENGTH} characters`,
    });
  } catch (error) {
    log('token_not_read', { file, reason: error instanceof Error ? error.message : String(error) });
  }
  return undefined;
}
