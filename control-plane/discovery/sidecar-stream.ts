import { status } from '@grpc/grpc-js';
import type { Mesh } from '#policy/workload-policy.ts';
import { MAX_HELD_DOCUMENTS, MAX_UPDATE_BYTES, UPDATE_PART_BYTES } from '#proto/discovery-limits.ts';
import type { Hello, SubscribeRequest, SubscribeResponse, Update } from '#proto/gen/lateral/v1/discovery.ts';
import type { EventLog } from '../event-log.ts';
import type { CertifiedCaller } from '../grpc/caller-proofs.ts';
import { CallRefusal } from '../grpc/refuse-call.ts';
import type { ControlPlaneMetrics } from '../status/metrics.ts';
import { checkedWorkload, MAX_NAME_LENGTH } from './check-hello.ts';
import type { PolicyDistribution } from './policy-distribution.ts';
import type { SidecarRegistry, SidecarStatus } from './sidecar-registry.ts';
import { keptVitals, type SidecarVitals } from './sidecar-vitals.ts';
import { type Answer, Subscription } from './subscription.ts';
import type { Place } from './subscription-places.ts';
import { bytesOf, updateMessages } from './update-messages.ts';
import type { Turn, UpdateTurns } from './update-turns.ts';
import type { WorkloadDirectory } from './workload-directory.ts';

/** An update that is not answered after this long, and the time its bytes take at a slow link's pace, ends its stream. */
export const ANSWER_LIMIT_MS = 30_000;
/** 100 KB/s. */
const SLOWEST_BYTES_A_MS = 100;

/** What all streams share. */
export interface DiscoveryContext {
  readonly distribution: PolicyDistribution;
  readonly registry: SidecarRegistry;
  readonly mesh: Mesh;
  readonly metrics: ControlPlaneMetrics;
  readonly log: EventLog;
  readonly now: () => number;
  /** Milliseconds of a clock that is never set: silence and lateness are measured by it, since clocks are set by hours. */
  readonly monotonicNow: () => number;
  /** Says what a workload is; undefined: its own Hello does. */
  readonly workloads: WorkloadDirectory | undefined;
}

/** Runs a step of a stream that came from elsewhere than its messages; ends the stream with what it throws. */
export type Attempt = (step: () => void) => void;

/** The sending half of a stream. */
interface Outlet {
  /** Calls back once the response has left, or cannot any more. */
  write(response: SubscribeResponse, gone?: () => void): boolean;
  readonly writableNeedDrain: boolean;
  getPeer(): string;
}

/** One sidecar's stream: its proof, its subscription once it said Hello, its signs of life. Throws CallRefusal. */
export class SidecarStream {
  readonly #caller: CertifiedCaller;
  readonly #outlet: Outlet;
  readonly #context: DiscoveryContext;
  readonly #attempt: Attempt;
  readonly #turns: UpdateTurns;
  readonly #place: Place;
  /** Of the update that is on its way. */
  #turn: Turn | undefined;
  #stopWaiting: (() => void) | undefined;
  /** When an answer to what was sent last is overdue. */
  #answerDueMs = Number.POSITIVE_INFINITY;
  #subscription: Subscription | undefined;
  /** Ends the watch of who the workload is; there once Hello was said. */
  #stopResolving: (() => void) | undefined;
  #stopFollowing: (() => void) | undefined;
  #status: SidecarStatus | undefined;
  /** Versions of documents that the sidecar holds, since they came before an update that did not; undefined: it takes no parts. */
  #held: ReadonlySet<string> | undefined;
  #isClosed = false;
  #vitals: SidecarVitals | undefined;
  /** By the wall clock, to be shown. */
  #lastHeardMs: number;
  /** The same by the monotonic clock. */
  #heardAtMs: number;
  #sequence = 0;

  constructor(
    caller: CertifiedCaller,
    outlet: Outlet,
    context: DiscoveryContext,
    { turns, place }: { readonly turns: UpdateTurns; readonly place: Place },
    attempt: Attempt,
  ) {
    this.#caller = caller;
    this.#attempt = attempt;
    this.#turns = turns;
    this.#place = place;
    this.#outlet = outlet;
    this.#context = context;
    this.#lastHeardMs = context.now();
    this.#heardAtMs = context.monotonicNow();
  }

  /** For the log. */
  facts(): { readonly identity: string; readonly workload: string | undefined; readonly peer: string } {
    return {
      identity: this.#caller.identity.uri,
      workload: this.#status?.workload.name,
      peer: this.#outlet.getPeer(),
    };
  }

  receive({ message }: SubscribeRequest): void {
    this.#lastHeardMs = this.#context.now();
    this.#heardAtMs = this.#context.monotonicNow();
    if (message?.$case === 'hello') this.#hello(message.value);
    else if (message?.$case === 'heartbeat') this.#requireHello();
    else if (message?.$case === 'vitals') {
      this.#requireHello();
      this.#vitals = keptVitals(message.value);
    } else if (message !== undefined) this.#answer(message, this.#subscribed());
    this.#show();
  }

  /** The policies in force have changed, those of this workload perhaps among them. */
  #changed(): void {
    this.#subscription?.changed();
    this.#show();
  }

  /** Ends a stream that is silent or whose certificate has ended; else sends a heartbeat. */
  beat(silenceLimitMs: number): void {
    const nowMs = this.#context.monotonicNow();
    const silentMs = Math.round(nowMs - this.#heardAtMs);
    if (silentMs > silenceLimitMs) {
      throw new CallRefusal(status.DEADLINE_EXCEEDED, `silent for ${silentMs} ms, longer than ${silenceLimitMs}`);
    }
    if (this.#context.now() >= this.#caller.expiresAtMs) {
      throw new CallRefusal(status.UNAUTHENTICATED, 'the certificate of the connection has expired');
    }
    this.#turn?.endIfLate(nowMs);
    if (this.#subscription?.pendingVersion !== undefined && nowMs > this.#answerDueMs) {
      throw new CallRefusal(status.DEADLINE_EXCEEDED, 'the update was neither accepted nor refused in time');
    }
    // A reader so slow that an update still waits for it needs no heartbeat on top.
    if (this.#outlet.writableNeedDrain) return;
    this.#outlet.write({ message: { $case: 'heartbeat', value: { sequence: this.#sequence++ } } });
  }

  close(): void {
    this.#isClosed = true;
    this.#place.leave();
    this.#stopResolving?.();
    this.#stopFollowing?.();
    this.#stopWaiting?.();
    this.#turn?.end();
    if (this.#status !== undefined) this.#context.registry.remove(this.#status);
  }

  #hello(hello: Hello): void {
    const { workloads } = this.#context;
    if (this.#stopResolving !== undefined) throw new CallRefusal(status.INVALID_ARGUMENT, 'a second Hello');
    const claimed = checkedWorkload(hello);
    const { identity } = this.#caller;
    if (claimed.namespace !== identity.namespace || claimed.serviceAccount !== identity.serviceAccount) {
      throw new CallRefusal(
        status.PERMISSION_DENIED,
        `Hello names service account ${claimed.namespace}/${claimed.serviceAccount}, and the certificate proves ${identity.namespace}/${identity.serviceAccount}`,
      );
    }
    this.#stopResolving = () => {};
    if (hello.takesParts) this.#held = new Set(hello.heldDocuments.slice(0, MAX_HELD_DOCUMENTS));
    if (workloads === undefined) {
      this.#place.share();
      this.#subscribe(hello, claimed);
      return;
    }
    const { ports } = claimed;
    let greeting = hello;
    this.#stopResolving = workloads.resolve(claimed, (resolved) =>
      this.#attempt(() => {
        if (resolved.kind === 'refused') throw resolved.error;
        const workload = { ...resolved.workload, ports };
        if (this.#subscription === undefined) this.#takePlace(workload, resolved.addresses);
        this.#subscribe(greeting, workload);
        // The versions of a whole mesh, of each sidecar that comes back after a restart: read, and kept no longer.
        greeting = { ...greeting, knownResources: [] };
        this.#show();
      }),
    );
    // What was called back meanwhile may have ended the stream.
    if (this.#isClosed) this.#stopResolving();
  }

  /** Begins the subscription, or goes on with it for a workload whose labels have changed. */
  #subscribe(hello: Hello, workload: WorkloadWithPorts): void {
    const { distribution, registry, log, now } = this.#context;
    if (this.#status !== undefined) registry.remove(this.#status);
    const isNew = this.#subscription === undefined;
    this.#subscription ??= new Subscription(
      hello,
      workload,
      distribution,
      { send: (update) => this.#send(update), awaitTurn: (go) => this.#awaitTurn(go) },
      now,
    );
    const subscription = this.#subscription;
    this.#status = {
      identity: this.#caller.identity.uri,
      workload,
      sidecarVersion: hello.sidecarVersion.slice(0, MAX_NAME_LENGTH),
      peer: this.#outlet.getPeer(),
      connectedAtMs: this.#status?.connectedAtMs ?? now(),
      lastHeardMs: this.#lastHeardMs,
      inForceVersion: subscription.inForceVersion,
      pendingVersion: subscription.pendingVersion,
      refused: subscription.refused,
      vitals: this.#vitals,
      snapshots: () => subscription.snapshots,
      orderTap: (order) => this.#outlet.write({ message: { $case: 'tapOrder', value: order } }),
    };
    registry.add(this.#status);
    if (isNew) log('sidecar_connected', { ...this.facts(), knownVersion: hello.knownVersion });
    this.#stopFollowing?.();
    this.#stopFollowing = distribution.follow(workload, () => this.#attempt(() => this.#changed()));
    subscription.workload = workload;
  }

  #takePlace({ namespace, name }: WorkloadWithPorts, addresses: readonly string[]): void {
    const end = (refusal: CallRefusal) =>
      this.#attempt(() => {
        throw refusal;
      });
    this.#place.take({ workload: `${namespace}/${name}`, peer: this.#outlet.getPeer(), addresses, end });
  }

  #answer(message: NonNullable<SubscribeRequest['message']>, subscription: Subscription): void {
    const { metrics, log } = this.#context;
    if (message.$case === 'ack') {
      metrics.updates.acked++;
      take(subscription.ack(message.value.version));
    } else if (message.$case === 'nack') {
      metrics.updates.nacked++;
      const { version, inForceVersion, reasons } = message.value;
      take(subscription.nack(version, inForceVersion, reasons));
      log('update_refused', { ...this.facts(), version, inForceVersion, reasons: subscription.refused?.reasons ?? [] });
    }
  }

  #requireHello(): void {
    if (this.#stopResolving === undefined) throw new CallRefusal(status.INVALID_ARGUMENT, 'Hello must come first');
  }

  #subscribed(): Subscription {
    this.#requireHello();
    if (this.#subscription === undefined) {
      throw new CallRefusal(status.INVALID_ARGUMENT, 'an answer before anything was sent');
    }
    return this.#subscription;
  }

  /** Lets the next update be made in its turn, which ends when that has left: what counts is the memory it takes. */
  #awaitTurn(go: () => void): void {
    let isNow = true;
    const begin = (turn: Turn) => {
      this.#turn?.end();
      this.#turn = turn;
      const before = this.#subscription?.pendingVersion;
      go();
      if (this.#subscription?.pendingVersion === before) turn.end(); // nothing to send any more
    };
    this.#stopWaiting = this.#turns.take((turn) => {
      if (isNow) begin(turn);
      else
        this.#attempt(() => {
          begin(turn);
          this.#show();
        });
    });
    isNow = false;
  }

  #send(update: Update): void {
    const bytes = update.upserts.reduce((sum, resource) => sum + bytesOf(resource), 0);
    if (bytes > MAX_UPDATE_BYTES) {
      throw new CallRefusal(
        status.RESOURCE_EXHAUSTED,
        `an update of ${bytes} bytes exceeds MAX_UPDATE_BYTES ${MAX_UPDATE_BYTES}; make the schema documents smaller`,
      );
    }
    this.#context.metrics.updates.sent++;
    const turn = this.#turn;
    this.#answerDueMs = this.#context.monotonicNow() + ANSWER_LIMIT_MS + bytes / SLOWEST_BYTES_A_MS;
    if (this.#held === undefined) {
      turn?.carry(bytes);
      this.#outlet.write({ message: { $case: 'update', value: update } }, () => turn?.end());
      return;
    }
    turn?.carry(Math.min(bytes, UPDATE_PART_BYTES));
    this.#sendNext(updateMessages(update, this.#held), turn);
  }

  /** One message after the other, each made when the one ahead of it has left: of a long update no more is in memory. */
  #sendNext(messages: Iterator<NonNullable<SubscribeResponse['message']>, void>, turn: Turn | undefined): void {
    const next = messages.next();
    if (this.#isClosed || next.done === true) turn?.end();
    else this.#outlet.write({ message: next.value }, () => this.#sendNext(messages, turn));
  }

  #show(): void {
    if (this.#status === undefined || this.#subscription === undefined) return;
    const { inForceVersion, pendingVersion, refused } = this.#subscription;
    const before = this.#status;
    const isChanged =
      before.inForceVersion !== inForceVersion ||
      before.pendingVersion !== pendingVersion ||
      before.refused !== refused;
    const vitals = this.#vitals;
    Object.assign(this.#status, { lastHeardMs: this.#lastHeardMs, inForceVersion, pendingVersion, refused, vitals });
    if (isChanged) this.#context.registry.changed();
  }
}

function take(answer: Answer): void {
  if (answer.kind === 'unexpected') throw new CallRefusal(status.FAILED_PRECONDITION, answer.reason);
}

/** A workload, and the app's ports that its Hello names. */
type WorkloadWithPorts = SidecarStatus['workload'];
