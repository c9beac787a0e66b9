import type { Snapshot } from '#policy/resource-set.ts';
import type { Workload } from '#policy/workload-policy.ts';
import type { Hello, Update } from '#proto/gen/lateral/v1/discovery.ts';
import type { PolicyDistribution } from './policy-distribution.ts';

/** Reasons of a NACK that are kept, and the length of each. */
const MAX_REASONS = 20;
const MAX_REASON_LENGTH = 1_000;

/** What a sidecar refused, and why. */
export interface RefusedVersion {
  readonly version: string;
  readonly reasons: readonly string[];
  readonly atMs: number;
}

export type Answer = { readonly kind: 'taken' } | { readonly kind: 'unexpected'; readonly reason: string };

/** What a sidecar has in force, as key -> version; undefined: unknown, so that the next update is complete. */
type Base = ReadonlyMap<string, string> | undefined;

/**
 * The protocol of one subscription, without its stream: which update comes next. One update is in flight at a
 * time; what changes meanwhile is offered in one after its answer. A refused version is not sent again: the next
 * one is, as a change of what is in force.
 */
export class Subscription {
  readonly workload: Workload;
  readonly #distribution: PolicyDistribution;
  readonly #send: (update: Update) => void;
  readonly #now: () => number;
  #base: Base;
  #baseVersion: string;
  #inFlight: Snapshot | undefined;
  #refused: RefusedVersion | undefined;
  #hasSent = false;

  constructor(
    hello: Hello,
    workload: Workload,
    distribution: PolicyDistribution,
    send: (update: Update) => void,
    now: () => number,
  ) {
    this.workload = workload;
    this.#distribution = distribution;
    this.#send = send;
    this.#now = now;
    this.#baseVersion = hello.knownVersion;
    this.#base =
      hello.knownResources.length === 0
        ? undefined
        : new Map(hello.knownResources.map(({ key, version }) => [key, version]));
  }

  /** Version in force at the sidecar; empty: none. */
  get inForceVersion(): string {
    return this.#baseVersion;
  }

  /** Version that was sent and not answered yet. */
  get pendingVersion(): string | undefined {
    return this.#inFlight?.version;
  }

  /** The last refusal, while nothing newer was accepted. */
  get refused(): RefusedVersion | undefined {
    return this.#refused;
  }

  /** Sends what the sidecar lacks, unless an update is in flight. The first offer is always sent. */
  offer(): void {
    if (this.#inFlight !== undefined) return;
    const snapshot = this.#distribution.snapshotFor(this.workload);
    if (this.#hasSent && snapshot.version === this.#baseVersion) {
      // What was refused has been taken back: the sidecar is up to date.
      this.#refused = undefined;
      return;
    }
    if (snapshot.version === this.#refused?.version) return;
    this.#inFlight = snapshot;
    this.#hasSent = true;
    this.#send(this.#updateTo(snapshot));
  }

  ack(version: string): Answer {
    const snapshot = this.#inFlight;
    if (snapshot?.version !== version) return this.#unexpected('ACK', version);
    this.#inFlight = undefined;
    this.#refused = undefined;
    this.#base = versionsOf(snapshot);
    this.#baseVersion = version;
    this.offer();
    return { kind: 'taken' };
  }

  nack(version: string, inForceVersion: string, reasons: readonly string[]): Answer {
    if (this.#inFlight?.version !== version) return this.#unexpected('NACK', version);
    this.#inFlight = undefined;
    this.#refused = {
      version,
      reasons: reasons.slice(0, MAX_REASONS).map((reason) => reason.slice(0, MAX_REASON_LENGTH)),
      atMs: this.#now(),
    };
    if (inForceVersion !== this.#baseVersion) {
      this.#base = undefined;
      this.#baseVersion = inForceVersion;
    }
    this.offer();
    return { kind: 'taken' };
  }

  #unexpected(what: string, version: string): Answer {
    const expected = this.#inFlight === undefined ? 'none is in flight' : `${this.#inFlight.version} is in flight`;
    return { kind: 'unexpected', reason: `${what} of version ${JSON.stringify(version.slice(0, 100))}; ${expected}` };
  }

  #updateTo(snapshot: Snapshot): Update {
    const wire = (resources: Snapshot['resources']) => resources.map((one) => this.#distribution.wireResource(one));
    const { version, resources } = snapshot;
    if (version === this.#baseVersion) return { version, previousVersion: version, upserts: [], removedKeys: [] };
    const base = this.#base;
    if (base === undefined) return { version, previousVersion: '', upserts: wire(resources), removedKeys: [] };
    const kept = versionsOf(snapshot);
    return {
      version,
      previousVersion: this.#baseVersion,
      upserts: wire(resources.filter((resource) => base.get(resource.key) !== resource.version)),
      removedKeys: [...base.keys()].filter((key) => !kept.has(key)),
    };
  }
}

const versionsBySnapshot = new WeakMap<Snapshot, ReadonlyMap<string, string>>();

/** Key -> version, made once a snapshot however many sidecars share it. */
function versionsOf(snapshot: Snapshot): ReadonlyMap<string, string> {
  const known = versionsBySnapshot.get(snapshot);
  if (known !== undefined) return known;
  const versions = new Map(snapshot.resources.map(({ key, version }) => [key, version]));
  versionsBySnapshot.set(snapshot, versions);
  return versions;
}
