import type { Client } from '@grpc/grpc-js';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { CONTROL_PLANE_KINDS } from '#policy/resource/known-kinds.ts';
import type { Snapshot } from '#policy/resource-set.ts';
import type { Workload } from '#policy/workload-policy.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { HEARTBEAT_INTERVAL_MS, MAX_KNOWN_RESOURCES } from '#proto/discovery-limits.ts';
import type { Hello, TapOrder, Update, Vitals } from '#proto/gen/lateral/v1/discovery.ts';
import type { CredentialSource, Credentials } from '../identity/credentials.ts';
import { type ApplySnapshot, type PolicySource, SnapshotRefused } from '../policy/policy-source.ts';
import { applyUpdate } from './apply-update.ts';
import { Backoff } from './backoff.ts';
import type { Clocks } from './clocks.ts';
import { type ControlEndpoint, openControlConnection } from './control-endpoint.ts';
import type { ControlLog } from './control-log.ts';
import { DiscoverySession, type SessionEnd, type UpdateAnswer } from './discovery-session.ts';
import { openSuccessor } from './open-successor.ts';
import { SIDECAR_VERSION } from './sidecar-version.ts';
import type { StateDirectory } from './state-directory.ts';
import { UpdateAssembly } from './update-assembly.ts';
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
/** After a renewal the stream moves to a connection of the new certificate at a random time within this, and of the old one's life. */
const SUCCESSION_SPREAD_MS = 5_000;
const SUCCESSION_SHARE_OF_LIFE = 0.25;

export interface DiscoveryClientOptions {
  /** Where the control plane is, and by whose word it is believed now. */
  readonly endpoint: () => ControlEndpoint;
  readonly credentials: CredentialSource;
  readonly identity: SpiffeId;
  readonly workload: Workload;
  readonly ports: readonly number[];
  readonly state: StateDirectory | undefined;
  readonly log: ControlLog;
  readonly clocks: Clocks;
  /** Called with each connection that the control plane has answered on; returns what to do when it ends. */
  readonly onConnected: (client: Client) => () => void;
  /** An operator wants to look on; to be answered over this connection. */
  readonly onTapOrder: (client: Client, order: TapOrder) => void;
  /** Called with each snapshot that has come in force, also with the stored one. */
  readonly onInForce: (snapshot: Snapshot) => void;
  /** The control plane has refused these credentials. */
  readonly onRefused: (credentials: Credentials) => void;
  readonly vitals: () => Promise<Vitals>;
  /** Default HEARTBEAT_INTERVAL_MS. */
  readonly heartbeatIntervalMs?: number;
}

/** A connection to the control plane, and the credentials it was made with. */
interface Connection {
  readonly client: Client;
  readonly credentials: Credentials;
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
  readonly #assembly = new UpdateAssembly();
  #session: { readonly stream: DiscoverySession; readonly credentials: Credentials } | undefined;
  /** Ready to take the place of the one in use. */
  #successor: Connection | undefined;
  #succession: AbortController | undefined;
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
    const endRenewals = this.#options.credentials.onRenewal((renewed) => this.#succeed(renewed));
    this.#closed.signal.addEventListener('abort', endRenewals);
    this.#running = this.#run().finally(() => this.#successor?.client.close());
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
    this.#session?.stream.end('the sidecar ends');
    this.#succession?.abort();
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
      this.#options.onInForce(snapshot);
      log('stored_snapshot_in_force', { version: snapshot.version });
    } catch (error) {
      log('stored_snapshot_not_used', { reason: reasonsOf(error).join('; ') });
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    const { log } = this.#options;
    while (!signal.aborted) {
      const { reason, wasAlive, isSucceeded, isNameTaken } = await this.#subscribe();
      if (signal.aborted) return;
      this.#lastFailure = reason;
      this.#settleForStored();
      if (isSucceeded) continue;
      const waitMs = isNameTaken ? this.#rivalBackoff.next() : this.#backoff.next();
      const retryInMs = Math.round(waitMs);
      const controlPlane = this.#options.endpoint().address;
      if (isNameTaken) log('workload_name_taken', { controlPlane, reason, retryInMs });
      else if (wasAlive) log('control_plane_lost', { controlPlane, reason });
      else log('control_plane_unreachable', { controlPlane, reason, retryInMs });
      await wait(waitMs, signal);
    }
  }

  async #subscribe(): Promise<SessionEnd & { readonly wasAlive: boolean; readonly isSucceeded: boolean }> {
    const { endpoint, clocks, log, onConnected, vitals } = this.#options;
    const { heartbeatIntervalMs = HEARTBEAT_INTERVAL_MS } = this.#options;
    const { monotonicNow } = clocks;
    let disconnect: (() => void) | undefined;
    let opened: Connection | undefined;
    let aliveAtMs: number | undefined;
    try {
      const successor = this.#takeSuccessor();
      const connection = successor ?? this.#openConnection();
      opened = connection;
      this.#assembly.begin();
      const stream = new DiscoverySession({
        client: connection.client,
        hello: this.#hello(successor !== undefined),
        assembly: this.#assembly,
        onUpdate: (update) => this.#take(update),
        onTapOrder: (order) => this.#options.onTapOrder(connection.client, order),
        onAlive: () => {
          if (disconnect !== undefined) return;
          this.#backoff.reset();
          aliveAtMs = monotonicNow();
          log('control_plane_connected', { controlPlane: endpoint().address });
          disconnect = onConnected(connection.client);
        },
        vitals,
        heartbeatIntervalMs,
        monotonicNow,
      });
      this.#session = { stream, credentials: connection.credentials };
      const end = await stream.ended;
      if (end.isCertificateRefused) this.#options.onRefused(connection.credentials);
      if (aliveAtMs !== undefined && monotonicNow() - aliveAtMs > RIVALRY_OVER_MS) this.#rivalBackoff.reset();
      return { ...end, wasAlive: disconnect !== undefined, isSucceeded: this.#successor !== undefined };
    } catch (error) {
      const none = { isNameTaken: false, isCertificateRefused: false, wasAlive: false, isSucceeded: false };
      return { reason: String(error), ...none };
    } finally {
      this.#session = undefined;
      this.#succession?.abort();
      disconnect?.();
      opened?.client.close();
    }
  }

  /** The one that is ready, where it is of the credentials as they are now. */
  #takeSuccessor(): Connection | undefined {
    const successor = this.#successor;
    this.#successor = undefined;
    if (successor !== undefined && successor.credentials === this.#options.credentials.current()) return successor;
    successor?.client.close();
    return undefined;
  }

  #openConnection(): Connection {
    const credentials = this.#options.credentials.current();
    return { client: openControlConnection(this.#options.endpoint(), credentials), credentials };
  }

  /**
   * The stream is bound to the certificate of its connection, and that to the roots it was made by: it moves to another, which is
   * opened before the stream leaves, so that policies pushed meanwhile wait for a round trip and no longer. Further roots change nothing.
   */
  #succeed(renewed: Credentials): void {
    const session = this.#session;
    if (session === undefined || !isOther(session.credentials, renewed)) return;
    this.#succession?.abort();
    const succession = new AbortController();
    this.#succession = succession;
    const restMs = Math.max(0, session.credentials.expiresAtMs - this.#options.clocks.now());
    const spreadMs = Math.min(SUCCESSION_SPREAD_MS, restMs * SUCCESSION_SHARE_OF_LIFE);
    let opened: Connection | undefined;
    const open = () => {
      opened = this.#openConnection();
      return opened.client;
    };
    void openSuccessor(open, spreadMs, succession.signal).then((client) => {
      if (client === undefined || opened === undefined) return;
      this.#successor = opened;
      session.stream.leave('the certificate was renewed');
    });
  }

  /**
   * A stream that moves lists nothing of what is in force: its version is almost always that of the control plane too, and thousands of
   * sidecars that renew at once would have it read a list of all Services from each. Where it is not, the answer is complete.
   */
  #hello(isMoving: boolean): Hello {
    const { name, namespace, serviceAccount, labels } = this.#options.workload;
    const known = this.#canResume ? this.#inForce : undefined;
    this.#canResume = true;
    const isListed = !isMoving && known !== undefined && known.resources.length <= MAX_KNOWN_RESOURCES;
    return {
      workload: { name, namespace, serviceAccount, labels: { ...labels }, ports: [...this.#options.ports] },
      knownVersion: known?.version ?? '',
      knownResources: isListed ? known.resources.map(({ key, version }) => ({ key, version })) : [],
      sidecarVersion: SIDECAR_VERSION,
      controlPlaneKinds: Object.keys(CONTROL_PLANE_KINDS),
      takesParts: true,
      heldDocuments: [...this.#assembly.held],
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
        this.#session?.stream.end(result.reason);
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
    this.#options.onInForce(snapshot);
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
    log('waiting_for_policies', { controlPlane: endpoint().address, reason: this.#lastFailure });
  }
}

/** Another certificate, or a root is gone by which the connection may have been believed. */
function isOther(before: Credentials, now: Credentials): boolean {
  if (before.certificateChainPem !== now.certificateChainPem) return true;
  return certificatesFromPem(before.trustBundlePem).some(
    (root) => !certificatesFromPem(now.trustBundlePem).some((other) => other.equals(root)),
  );
}

function reasonsOf(error: unknown): readonly string[] {
  if (error instanceof SnapshotRefused) return error.reasons;
  return [error instanceof Error ? error.message : String(error)];
}
