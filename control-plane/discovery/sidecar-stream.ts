import { status } from '@grpc/grpc-js';
import type { Mesh } from '#policy/workload-policy.ts';
import { MAX_KNOWN_RESOURCES, MAX_UPDATE_BYTES } from '#proto/discovery-limits.ts';
import type {
  Hello,
  Workload as ProtoWorkload,
  SubscribeRequest,
  SubscribeResponse,
  Update,
} from '#proto/gen/lateral/v1/discovery.ts';
import type { EventLog } from '../event-log.ts';
import type { CertifiedCaller } from '../grpc/certificate-of-caller.ts';
import { CallRefusal } from '../grpc/refuse-call.ts';
import type { ControlPlaneMetrics } from '../status/metrics.ts';
import type { PolicyDistribution } from './policy-distribution.ts';
import type { SidecarRegistry, SidecarStatus } from './sidecar-registry.ts';
import { type Answer, Subscription } from './subscription.ts';

/** Bounds of what a Hello says about its workload. */
const MAX_NAME_LENGTH = 253;
const MAX_LABELS = 256;
const MAX_LABEL_LENGTH = 512;
const MAX_PORTS = 256;
/** Room for keys and versions in an update, beside the documents. */
const ENVELOPE_BYTES_A_RESOURCE = 512;

/** What all streams share. */
export interface DiscoveryContext {
  readonly distribution: PolicyDistribution;
  readonly registry: SidecarRegistry;
  readonly mesh: Mesh;
  readonly metrics: ControlPlaneMetrics;
  readonly log: EventLog;
  readonly now: () => number;
}

/** The sending half of a stream. */
interface Outlet {
  write(response: SubscribeResponse): boolean;
  readonly writableNeedDrain: boolean;
  getPeer(): string;
}

/** One sidecar's stream: its proof, its subscription once it said Hello, its signs of life. Throws CallRefusal. */
export class SidecarStream {
  readonly #caller: CertifiedCaller;
  readonly #outlet: Outlet;
  readonly #context: DiscoveryContext;
  #subscription: Subscription | undefined;
  #status: SidecarStatus | undefined;
  #lastHeardMs: number;
  #sequence = 0;

  constructor(caller: CertifiedCaller, outlet: Outlet, context: DiscoveryContext) {
    this.#caller = caller;
    this.#outlet = outlet;
    this.#context = context;
    this.#lastHeardMs = context.now();
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
    if (message?.$case === 'hello') this.#hello(message.value);
    else if (message !== undefined) this.#answer(message, this.#subscribed());
    this.#show();
  }

  /** The policies in force have changed. */
  changed(): void {
    this.#subscription?.offer();
    this.#show();
  }

  /** Ends a stream that is silent or whose certificate has ended; else sends a heartbeat. */
  beat(silenceLimitMs: number): void {
    const nowMs = this.#context.now();
    const silentMs = nowMs - this.#lastHeardMs;
    if (silentMs > silenceLimitMs) {
      throw new CallRefusal(status.DEADLINE_EXCEEDED, `silent for ${silentMs} ms, longer than ${silenceLimitMs}`);
    }
    if (nowMs >= this.#caller.expiresAtMs) {
      throw new CallRefusal(status.UNAUTHENTICATED, 'the certificate of the connection has expired');
    }
    // A reader so slow that an update still waits for it needs no heartbeat on top.
    if (this.#outlet.writableNeedDrain) return;
    this.#outlet.write({ message: { $case: 'heartbeat', value: { sequence: this.#sequence++ } } });
  }

  close(): void {
    if (this.#status !== undefined) this.#context.registry.remove(this.#status);
  }

  #hello(hello: Hello): void {
    const { distribution, registry, log, now } = this.#context;
    if (this.#subscription !== undefined) throw new CallRefusal(status.INVALID_ARGUMENT, 'a second Hello');
    const workload = checkedWorkload(hello);
    const { identity } = this.#caller;
    if (workload.namespace !== identity.namespace || workload.serviceAccount !== identity.serviceAccount) {
      throw new CallRefusal(
        status.PERMISSION_DENIED,
        `Hello names service account ${workload.namespace}/${workload.serviceAccount}, and the certificate proves ${identity.namespace}/${identity.serviceAccount}`,
      );
    }
    this.#subscription = new Subscription(hello, workload, distribution, (update) => this.#send(update), now);
    this.#status = {
      identity: identity.uri,
      workload,
      sidecarVersion: hello.sidecarVersion.slice(0, MAX_NAME_LENGTH),
      peer: this.#outlet.getPeer(),
      connectedAtMs: now(),
      lastHeardMs: now(),
      inForceVersion: hello.knownVersion,
      pendingVersion: undefined,
      refused: undefined,
    };
    registry.add(this.#status);
    log('sidecar_connected', { ...this.facts(), knownVersion: hello.knownVersion });
    this.#subscription.offer();
  }

  #answer(message: Exclude<SubscribeRequest['message'], undefined>, subscription: Subscription): void {
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

  #subscribed(): Subscription {
    if (this.#subscription === undefined) throw new CallRefusal(status.INVALID_ARGUMENT, 'Hello must come first');
    return this.#subscription;
  }

  #send(update: Update): void {
    const bytes = update.upserts.reduce((sum, { document }) => sum + document.length + ENVELOPE_BYTES_A_RESOURCE, 0);
    if (bytes > MAX_UPDATE_BYTES) {
      throw new CallRefusal(
        status.RESOURCE_EXHAUSTED,
        `an update of ${bytes} bytes exceeds MAX_UPDATE_BYTES ${MAX_UPDATE_BYTES}; make the schema documents smaller`,
      );
    }
    this.#context.metrics.updates.sent++;
    this.#outlet.write({ message: { $case: 'update', value: update } });
  }

  #show(): void {
    if (this.#status === undefined || this.#subscription === undefined) return;
    this.#status.lastHeardMs = this.#lastHeardMs;
    this.#status.inForceVersion = this.#subscription.inForceVersion;
    this.#status.pendingVersion = this.#subscription.pendingVersion;
    this.#status.refused = this.#subscription.refused;
  }
}

function take(answer: Answer): void {
  if (answer.kind === 'unexpected') throw new CallRefusal(status.FAILED_PRECONDITION, answer.reason);
}

/** The workload a Hello names, within bounds. */
function checkedWorkload({ workload, knownResources }: Hello): ProtoWorkload {
  const complaint = workload === undefined ? 'names no workload' : workloadComplaint(workload);
  if (workload === undefined || complaint !== undefined) {
    throw new CallRefusal(status.INVALID_ARGUMENT, `Hello ${complaint}`);
  }
  if (knownResources.length > MAX_KNOWN_RESOURCES) {
    throw new CallRefusal(
      status.INVALID_ARGUMENT,
      `Hello lists ${knownResources.length} resources, more than ${MAX_KNOWN_RESOURCES}`,
    );
  }
  return workload;
}

function workloadComplaint({ name, labels, ports }: ProtoWorkload): string | undefined {
  if (name === '' || name.length > MAX_NAME_LENGTH)
    return `has a workload name that is empty or over ${MAX_NAME_LENGTH}`;
  if (ports.length > MAX_PORTS) return `lists ${ports.length} ports, more than ${MAX_PORTS}`;
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) return `has ${entries.length} labels, more than ${MAX_LABELS}`;
  const isLong = entries.some(([key, value]) => key.length + value.length > MAX_LABEL_LENGTH);
  return isLong ? `has a label longer than ${MAX_LABEL_LENGTH}` : undefined;
}
