import type { Client } from '@grpc/grpc-js';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { Snapshot } from '#policy/resource-set.ts';
import type { Workload } from '#policy/workload-policy.ts';
import { HEARTBEAT_INTERVAL_MS, MAX_KNOWN_RESOURCES } from '#proto/discovery-limits.ts';
import type { Hello, TapOrder, Update } from '#proto/gen/lateral/v1/discovery.ts';
import type { CredentialSource } from '../identity/credentials.ts';
import { type ApplySnapshot, type PolicySource, SnapshotRefused } from '../policy/policy-source.ts';
import { applyUpdate } from './apply-update.ts';
import { Backoff } from './backoff.ts';
import { type ControlEndpoint, openControlConnection } from './control-endpoint.ts';
import type { ControlLog } from './control-log.ts';
import { DiscoverySession, type SessionEnd, type UpdateAnswer } from './discovery-session.ts';
import { SIDECAR_VERSION } from './sidecar-version.ts';
import type { StateDirectory } from './state-directory.ts';
import { wait } from './wait.ts';

/** With a stored snapshot, a start waits this long for the control plane's word on it, and then goes on with it. */
export const STORED_SNAPSHOT_WAIT_MS = 2_000;
/** While nothing is in force, the reason is logged this often. */
const WAIT_LOG_INTERVAL_MS = 5_000;
/** Waits while another sidecar has this one's name: both take turns with their policies ever more slowly, and say so. */
const FIRST_RIVAL_WAIT_MS = 1_000;
const MAX_RIVAL_WAIT_MS = 120_000;
/** A stream that lasted longer than this had no rival: the waits begin anew. */
const RIVALRY_OVER_MS = 4 * MAX_RIVAL_WAIT_MS;

export interface DiscoveryClientOptions {
  readonly endpoint: ControlEndpoint;
  readonly credentials: CredentialSource;
  readonly identity: SpiffeId;
  readonly workload: Workload;
  readonly ports: readonly number[];
  readonly state: StateDirectory | undefined;
  readonly log: ControlLog;
  readonly now: () => number;
  /** Called with each connection that the control plane has answered on; returns what to do when it ends. */
  readonly onConnected: (client: Client) => () => void;
  /** An operator wants to look on; to be answered over this connection. */
  readonly onTapOrder: (client: Client, order: TapOrder) => void;
  /** Default HEARTBEAT_INTERVAL_MS. */
  readonly heartbeatIntervalMs?: number;
}

/** Policies from the control plane: subscribed for as long as it takes, resumed from what is in force. */
export class DiscoveryClient implements PolicySource {
  readonly #options: DiscoveryClientOptions;
  readonly #closed = new AbortController();
  readonly #backoff = new Backoff();
  readonly #rivalBackoff = new Backoff(Math.random, MAX_RIVAL_WAIT_MS, FIRST_RIVAL_WAIT_MS);
  readonly #started = Promise.withResolvers<void>();
  #apply: ApplySnapshot | undefined;
  #inForce: Snapshot | undefined;
  /** False: what is in force cannot be built upon; the next Hello asks for everything. */
  #canResume = true;
  #session: DiscoverySession | undefined;
  #running: Promise<void> = Promise.resolve();
  #lastFailure = 'no answer yet';

  constructor(options: DiscoveryClientOptions) {
    this.#options = options;
  }

  /**
   * Resolves once the control plane's snapshot is in force; with the stored one in force also when the control
   * plane cannot be reached. Waits for as long as there is neither, and says why in the log.
   */
  async start(apply: ApplySnapshot): Promise<void> {
    this.#apply = apply;
    await this.#applyStored(apply);
    const endRenewals = this.#options.credentials.onRenewal(() => this.#session?.end('the certificate was renewed'));
    this.#closed.signal.addEventListener('abort', endRenewals);
    this.#running = this.#run();
    const timers = [
      setTimeout(() => this.#settleForStored(), STORED_SNAPSHOT_WAIT_MS),
      setInterval(() => this.#logWait(), WAIT_LOG_INTERVAL_MS),
    ];
    try {
      await this.#started.promise;
    } finally {
      for (const timer of timers) clearTimeout(timer);
    }
  }

  close(): void {
    this.#closed.abort();
    this.#session?.end('the sidecar ends');
    this.#started.reject(new Error('closed before policies were in force'));
    // Nobody may be waiting for the start any more.
    this.#started.promise.catch(() => {});
  }

  /** Resolves once nothing of it runs any more; after `close()`. */
  get finished(): Promise<void> {
    return this.#running;
  }

  async #applyStored(apply: ApplySnapshot): Promise<void> {
    const { state, identity, log } = this.#options;
    if (state === undefined) return;
    const { value: snapshot, complaint } = await state.readSnapshot(identity);
    if (complaint !== undefined) log('stored_snapshot_not_used', { reason: complaint });
    if (snapshot === undefined) return;
    try {
      await apply(snapshot);
      this.#inForce = snapshot;
      log('stored_snapshot_in_force', { version: snapshot.version });
    } catch (error) {
      log('stored_snapshot_not_used', { reason: reasonsOf(error).join('; ') });
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    const { log, endpoint } = this.#options;
    while (!signal.aborted) {
      const { reason, wasAlive, isRenewal, isNameTaken } = await this.#subscribe();
      if (signal.aborted) return;
      this.#lastFailure = reason;
      this.#settleForStored();
      if (isRenewal) continue;
      const waitMs = isNameTaken ? this.#rivalBackoff.next() : this.#backoff.next();
      const retryInMs = Math.round(waitMs);
      if (isNameTaken) log('workload_name_taken', { controlPlane: endpoint.address, reason, retryInMs });
      else if (wasAlive) log('control_plane_lost', { controlPlane: endpoint.address, reason });
      else log('control_plane_unreachable', { controlPlane: endpoint.address, reason, retryInMs });
      await wait(waitMs, signal);
    }
  }

  async #subscribe(): Promise<SessionEnd & { readonly wasAlive: boolean; readonly isRenewal: boolean }> {
    const { endpoint, credentials, log, now, onConnected, heartbeatIntervalMs = HEARTBEAT_INTERVAL_MS } = this.#options;
    const before = credentials.current();
    let disconnect: (() => void) | undefined;
    let client: Client | undefined;
    let aliveAtMs: number | undefined;
    try {
      const connection = openControlConnection(endpoint, before);
      client = connection;
      this.#session = new DiscoverySession({
        client: connection,
        hello: this.#hello(),
        onUpdate: (update) => this.#take(update),
        onTapOrder: (order) => this.#options.onTapOrder(connection, order),
        onAlive: () => {
          if (disconnect !== undefined) return;
          this.#backoff.reset();
          aliveAtMs = now();
          log('control_plane_connected', { controlPlane: endpoint.address });
          disconnect = onConnected(connection);
        },
        heartbeatIntervalMs,
        now,
      });
      const end = await this.#session.ended;
      if (aliveAtMs !== undefined && now() - aliveAtMs > RIVALRY_OVER_MS) this.#rivalBackoff.reset();
      return { ...end, wasAlive: disconnect !== undefined, isRenewal: credentials.current() !== before };
    } catch (error) {
      return { reason: String(error), isNameTaken: false, wasAlive: false, isRenewal: false };
    } finally {
      this.#session = undefined;
      disconnect?.();
      client?.close();
    }
  }

  #hello(): Hello {
    const { name, namespace, serviceAccount, labels } = this.#options.workload;
    const known = this.#canResume ? this.#inForce : undefined;
    this.#canResume = true;
    const isListed = known !== undefined && known.resources.length <= MAX_KNOWN_RESOURCES;
    return {
      workload: { name, namespace, serviceAccount, labels: { ...labels }, ports: [...this.#options.ports] },
      knownVersion: known?.version ?? '',
      knownResources: isListed ? known.resources.map(({ key, version }) => ({ key, version })) : [],
      sidecarVersion: SIDECAR_VERSION,
    };
  }

  /** Never throws: what cannot be put in force is refused, and what was in force stays. */
  async #take(update: Update): Promise<UpdateAnswer> {
    const { log } = this.#options;
    const inForceVersion = this.#inForce?.version ?? '';
    const result = applyUpdate(this.#inForce, update);
    if (result.kind === 'mismatch') {
      log('update_not_applicable', { version: update.version, reason: result.reason });
      if (update.previousVersion !== '') {
        this.#canResume = false;
        this.#session?.end(result.reason);
      }
      return { kind: 'nack', inForceVersion, reasons: [result.reason] };
    }
    const { snapshot } = result;
    try {
      if (snapshot.version !== inForceVersion) await this.#putInForce(snapshot);
    } catch (error) {
      const reasons = reasonsOf(error);
      this.#lastFailure = `version ${snapshot.version} was refused: ${reasons.join('; ')}`;
      log('policies_refused', { version: snapshot.version, inForceVersion, reasons });
      return { kind: 'nack', inForceVersion, reasons };
    }
    this.#started.resolve();
    return { kind: 'ack' };
  }

  async #putInForce(snapshot: Snapshot): Promise<void> {
    const { state, identity, log } = this.#options;
    if (this.#apply === undefined) throw new Error('not started');
    await this.#apply(snapshot);
    this.#inForce = snapshot;
    log('policies_in_force', { version: snapshot.version, resources: snapshot.resources.length });
    try {
      await state?.writeSnapshot(identity, snapshot);
    } catch (error) {
      log('snapshot_not_stored', { reason: String(error) });
    }
  }

  /** The control plane does not answer: a start that has the stored snapshot in force need not wait for it. */
  #settleForStored(): void {
    if (this.#inForce !== undefined) this.#started.resolve();
  }

  #logWait(): void {
    const { log, endpoint } = this.#options;
    log('waiting_for_policies', { controlPlane: endpoint.address, reason: this.#lastFailure });
  }
}

function reasonsOf(error: unknown): readonly string[] {
  if (error instanceof SnapshotRefused) return error.reasons;
  return [error instanceof Error ? error.message : String(error)];
}
