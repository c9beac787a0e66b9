import { readFile } from 'node:fs/promises';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Mesh, Workload } from '#policy/workload-policy.ts';
import type { CredentialSource } from '../identity/credentials.ts';
import { RenewalRecord } from '../identity/renewal-record.ts';
import { meshRoots } from '../policy/mesh-roots.ts';
import type { PolicySource } from '../policy/policy-source.ts';
import { keepCertificate } from './certificate-keeper.ts';
import type { ControlLog } from './control-log.ts';
import { DecisionReporter } from './decision-reporter.ts';
import { DiscoveryClient } from './discovery-client.ts';
import { type OpenTap, relayTap } from './relay-tap.ts';
import { type ListPlaintextCallers, sidecarVitals } from './sidecar-vitals.ts';
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
  /** Who was let in without an identity; default: nobody is known. */
  readonly plaintextCallers?: ListPlaintextCallers;
  /** Milliseconds since the epoch; default Date.now. */
  readonly now?: () => number;
  /** Milliseconds of a clock that is never set; default performance.now. */
  readonly monotonicNow?: () => number;
  /** Default HEARTBEAT_INTERVAL_MS. */
  readonly heartbeatIntervalMs?: number;
  /** Ends the wait for the first certificate; the promise then rejects. */
  readonly signal?: AbortSignal;
}

export interface ControlPlaneConnection {
  readonly credentials: CredentialSource;
  readonly renewals: RenewalRecord;
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
  const { address, trustBundlePem, workload, mesh, ports, stateDirectory, log } = options;
  const { now = Date.now, monotonicNow = () => performance.now(), plaintextCallers = async () => [] } = options;
  const clocks = { now, monotonicNow };
  const renewals = new RenewalRecord();
  const endpoint = { address, trustBundlePem, mesh };
  const identity = spiffeId(mesh.trustDomain, workload.namespace, workload.serviceAccount);
  const state = stateDirectory === undefined ? undefined : openStateDirectory(stateDirectory);
  const token = () => readToken(options.tokenFile, log);
  const signal = options.signal ?? new AbortController().signal;
  const credentials = await keepCertificate({ endpoint, identity, token, state, log, clocks, renewals }, signal);
  if (credentials === undefined) throw new Error('ended before a certificate was there');
  const observer = new DecisionReporter(workload.name);
  const policies = new DiscoveryClient({
    endpoint: () => credentials.endpoint,
    credentials,
    identity,
    workload,
    ports,
    state,
    log,
    clocks,
    onRefused: (refused) => credentials.noteRefused(refused),
    vitals: () => sidecarVitals(credentials.current(), renewals, plaintextCallers),
    onInForce: (snapshot) => {
      const own = meshRoots(snapshot, mesh)?.find(({ trustDomain }) => trustDomain === mesh.trustDomain);
      // a mesh without a root would be one that nobody can join again: what was good goes on
      if (own !== undefined && own.rootsPem !== '') credentials.trust(own.rootsPem);
    },
    onConnected: (client) => {
      const detach = observer.attach(client);
      const stopAsking = credentials.askOver(client);
      return () => {
        stopAsking();
        detach();
      };
    },
    onTapOrder: (client, order) => relayTap(client, order, options.openTap ?? (() => false)),
    ...(options.heartbeatIntervalMs === undefined ? {} : { heartbeatIntervalMs: options.heartbeatIntervalMs }),
  });
  return {
    credentials,
    renewals,
    policies,
    observer,
    async close() {
      observer.close();
      policies.close();
      credentials.close();
      await Promise.all([policies.finished, credentials.stored]);
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
