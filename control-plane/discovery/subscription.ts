import { CONTROL_PLANE_KINDS } from '#policy/resource/known-kinds.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { ComposedSnapshot, differenceBetween, type SnapshotDifference } from '#policy/snapshot/composed-snapshot.ts';
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

/**
 * What a sidecar has in force: a snapshot that it acknowledged (shared by all that have it), or key -> version as its Hello
 * says; undefined: unknown, so that the next update is complete.
 */
type Base = ComposedSnapshot | ReadonlyMap<string, string> | undefined;

/** The way to the sidecar. */
export interface UpdateOutlet {
  send(update: Update): void;
  /** Calls back, at once or later, when an update may be made and sent; never once the stream has ended. */
  awaitTurn(go: () => void): void;
}

/**
 * The protocol of one subscription, without its stream: which update comes next. One update is in flight at a
 * time; what changes meanwhile is offered in one after its answer. A refused version is not sent again: the next
 * one is, as a change of what is in force.
 */
export class Subscription {
  #workload: Workload;
  /** What the workload should have; undefined: it is to be selected anew. */
  #target: ComposedSnapshot | undefined;
  readonly #distribution: PolicyDistribution;
  readonly #send: (update: Update) => void;
  readonly #awaitTurn: (go: () => void) => void;
  readonly #now: () => number;
  /** Of those that only the control plane makes, what the sidecar reads. */
  readonly #kinds: readonly string[];
  #base: Base;
  #baseVersion: string;
  #inFlight: ComposedSnapshot | undefined;
  #refused: RefusedVersion | undefined;
  #hasSent = false;
  /** An update is due, and waits for its turn: which one it is, is decided then. */
  #isWaiting = false;

  constructor(
    hello: Hello,
    workload: Workload,
    distribution: PolicyDistribution,
    outlet: UpdateOutlet,
    now: () => number,
  ) {
    this.#workload = workload;
    this.#distribution = distribution;
    this.#send = outlet.send;
    this.#awaitTurn = outlet.awaitTurn;
    this.#now = now;
    this.#kinds = Object.keys(CONTROL_PLANE_KINDS).filter((kind) => hello.controlPlaneKinds.includes(kind));
    this.#baseVersion = hello.knownVersion;
    this.#base =
      hello.knownResources.length === 0
        ? undefined
        : new Map(hello.knownResources.map(({ key, version }) => [key, version]));
  }

  get workload(): Workload {
    return this.#workload;
  }

  /** The workload is another from now on: labels of a pod change. */
  set workload(workload: Workload) {
    this.#workload = workload;
    this.changed();
  }

  /** What the workload should have may be another from now on. */
  changed(): void {
    this.#target = undefined;
    this.offer();
  }

  /** What the sidecar should have, and what it has acknowledged; undefined: nothing since it connected. */
  get snapshots(): { readonly target: ComposedSnapshot; readonly inForce: ComposedSnapshot | undefined } {
    return { target: this.#selected(), inForce: isSnapshot(this.#base) ? this.#base : undefined };
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

  /** Sends what the sidecar lacks once it may, unless an update is in flight. The first offer is always sent. */
  offer(): void {
    if (this.#inFlight !== undefined || this.#isWaiting || this.#due() === undefined) return;
    this.#isWaiting = true;
    this.#awaitTurn(() => {
      this.#isWaiting = false;
      const snapshot = this.#due();
      if (snapshot === undefined) return; // taken back meanwhile
      this.#inFlight = snapshot;
      this.#hasSent = true;
      this.#send(this.#updateTo(snapshot));
    });
  }

  #selected(): ComposedSnapshot {
    this.#target ??= this.#distribution.snapshotFor(this.#workload, this.#kinds);
    return this.#target;
  }

  #due(): ComposedSnapshot | undefined {
    const snapshot = this.#selected();
    if (this.#hasSent && snapshot.version === this.#baseVersion) {
      // What was refused has been taken back: the sidecar is up to date.
      this.#refused = undefined;
      return undefined;
    }
    return snapshot.version === this.#refused?.version ? undefined : snapshot;
  }

  ack(version: string): Answer {
    const snapshot = this.#inFlight;
    if (snapshot?.version !== version) return this.#unexpected('ACK', version);
    this.#inFlight = undefined;
    this.#refused = undefined;
    this.#base = snapshot;
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

  #updateTo(snapshot: ComposedSnapshot): Update {
    const wire = (resources: readonly ResourceDocument[]) =>
      resources.map((one) => this.#distribution.wireResource(one));
    const { version } = snapshot;
    if (version === this.#baseVersion) return { version, previousVersion: version, upserts: [], removedKeys: [] };
    const base = this.#base;
    if (base === undefined) return { version, previousVersion: '', upserts: wire(snapshot.resources), removedKeys: [] };
    const { upserts, removedKeys } = isSnapshot(base)
      ? differenceBetween(base, snapshot)
      : differenceTo(base, snapshot);
    return { version, previousVersion: this.#baseVersion, upserts: wire(upserts), removedKeys: [...removedKeys] };
  }
}

function isSnapshot(base: Base): base is ComposedSnapshot {
  return base instanceof ComposedSnapshot;
}

function differenceTo(base: ReadonlyMap<string, string>, { resources }: ComposedSnapshot): SnapshotDifference {
  const kept = new Set(resources.map(({ key }) => key));
  return {
    upserts: resources.filter(({ key, version }) => base.get(key) !== version),
    removedKeys: [...base.keys()].filter((key) => !kept.has(key)),
  };
}
