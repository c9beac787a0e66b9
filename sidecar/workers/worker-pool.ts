import { randomBytes } from 'node:crypto';
import type { Snapshot } from '#policy/resource-set.ts';
import type { GenerateValidators } from '#policy/validation/generate-validators.ts';
import type { SidecarConfiguration } from '../configuration/sidecar-configuration.ts';
import { Backoff } from '../control/backoff.ts';
import type { TalliedDecisions } from '../control/decision-tally.ts';
import { wait } from '../control/wait.ts';
import type { CredentialSource, Credentials } from '../identity/credentials.ts';
import { checkUsable } from '../identity/usable-credentials.ts';
import { logEvent } from '../operational-log.ts';
import { SnapshotRefused } from '../policy/policy-source.ts';
import { reasonsOf } from '../policy/policy-status.ts';
import type { PreparedPolicy } from '../policy/policy-target.ts';
import { MAX_PENDING_LOG_BYTES } from '../telemetry/log-writer.ts';
import { type Gauge, Metrics, type MetricsSnapshot } from '../telemetry/metrics.ts';
import { CALLER_KEPT_MS, joinCallers, type PlaintextCaller } from '../telemetry/plaintext-callers.ts';
import type { SpanFacts } from '../telemetry/span-facts.ts';
import type { Traffic } from '../traffic/traffic.ts';
import { listenOnAll, trafficAddresses } from '../traffic/traffic-addresses.ts';
import { claimPort } from './claim-port.ts';
import { shareGeneration } from './share-generation.ts';
import type { SharedLog } from './shared-log.ts';
import { PING_INTERVAL_MS, type Unasked, WorkerLink } from './worker-link.ts';

/** Beside this file, and beside this file's bundle (scripts/build.mjs). */
const TRAFFIC_WORKER = import.meta.url.endsWith('.ts') ? './traffic-worker.ts' : './traffic-worker.mjs';
/** A worker that served as long as this begins anew, with short waits, when it ends. */
const STABLE_MS = 30_000;

export interface WorkerPoolOptions {
  readonly configuration: SidecarConfiguration;
  readonly credentials: CredentialSource;
  readonly generate: GenerateValidators;
  /** It is the caller's to close. */
  readonly log: SharedLog;
  /** Tells whether somebody reads log lines, and when that changes. */
  readonly onLogWanted: (listener: (isWanted: boolean) => void) => void;
  /** Takes sampled exchanges; undefined: nobody does. */
  readonly spans: { take(facts: SpanFacts): void } | undefined;
  /** Take what was decided. */
  readonly decisions: readonly { absorb(tallied: TalliedDecisions): void }[];
  /** What a worker runs; default: traffic-worker.ts. */
  readonly program?: URL;
}

interface Slot {
  /** From 1. */
  readonly number: number;
  readonly backoff: Backoff;
  /** Undefined: it has ended, and the next is being waited for. */
  link: WorkerLink | undefined;
}

/**
 * Traffic shared among `concurrency` worker threads. A version is in force once all of them have it, and in none if one
 * refuses it. A worker that ends is replaced, by one that has the same version before it serves.
 */
export class WorkerPool implements Traffic {
  readonly #options: WorkerPoolOptions;
  readonly #program: URL;
  readonly #generate: GenerateValidators;
  readonly #logKey = randomBytes(32);
  readonly #slots: readonly Slot[];
  /** What workers that have ended had counted when they were asked last. */
  readonly #retired = new Metrics();
  /** Who had come to them without an identity, likewise. */
  #retiredCallers: readonly PlaintextCaller[] = [];
  readonly #ended = new AbortController();
  readonly #pings: NodeJS.Timeout;
  /** Changes of what is in force, and of who serves, do not overlap. */
  #turn: Promise<unknown> = Promise.resolve();
  #inForce: Snapshot | undefined;
  #isOpen = false;
  #wantsLog = true;
  #restarts = 0;
  /** What workers are started with: with others they would not start. */
  #usable: Credentials;

  /** Starts the workers; they serve nothing before `open`. */
  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#program = options.program ?? new URL(TRAFFIC_WORKER, import.meta.url);
    this.#generate = shareGeneration(options.generate);
    const numbers = Array.from({ length: options.configuration.concurrency }, (_, index) => index + 1);
    this.#slots = numbers.map((number) => ({ number, backoff: new Backoff(), link: undefined }));
    options.onLogWanted((isWanted) => {
      this.#wantsLog = isWanted;
      for (const link of this.#links) link.post({ kind: 'log-wanted', isWanted });
    });
    this.#usable = options.credentials.current();
    for (const slot of this.#slots) this.#launch(slot);
    options.credentials.onRenewal((credentials) => this.#renew(credentials));
    this.#pings = setInterval(() => {
      for (const link of this.#links) link.ping();
    }, PING_INTERVAL_MS);
    this.#pings.unref();
  }

  get isServing(): boolean {
    return this.#slots.every(({ link }) => link?.isServing);
  }

  prepare(snapshot: Snapshot): Promise<PreparedPolicy> {
    return this.#exclusively(async () => {
      const links = this.#links;
      const results = await Promise.allSettled(links.map((link) => link.prepare(snapshot)));
      const reasons = results.flatMap((result) => (result.status === 'rejected' ? reasonsOf(result.reason) : []));
      const [first] = results;
      if (reasons.length > 0 || first?.status !== 'fulfilled') {
        for (const link of links) link.post({ kind: 'discard' });
        throw new SnapshotRefused(reasons.length > 0 ? [...new Set(reasons)] : ['no worker is running']);
      }
      return { defaults: first.value, commit: () => this.#commit(snapshot, new Set(links)) };
    });
  }

  async open(): Promise<void> {
    for (const place of trafficAddresses(this.#options.configuration)) await listenOnAll(place, claimPort);
    await this.#exclusively(async () => {
      await Promise.all(this.#links.map((link) => link.open()));
      this.#isOpen = true;
    });
  }

  async metrics(): Promise<Metrics> {
    await Promise.all(this.#links.map((link) => link.askMetrics()));
    const total = new Metrics();
    total.absorb(this.#retired.snapshot());
    for (const { lastMetrics } of this.#links) if (lastMetrics !== undefined) total.absorb(lastMetrics);
    for (const gauge of this.#gauges()) total.add(gauge);
    return total;
  }

  async plaintextCallers(): Promise<readonly PlaintextCaller[]> {
    await Promise.all(this.#links.map((link) => link.askMetrics()));
    return joinCallers([
      this.#retiredCallers.filter(({ lastSeenMs }) => lastSeenMs > Date.now() - CALLER_KEPT_MS),
      ...this.#links.map(({ lastPlaintextCallers }) => lastPlaintextCallers),
    ]);
  }

  async drain(): Promise<void> {
    this.#ended.abort();
    clearInterval(this.#pings);
    await Promise.all(
      this.#links.map(async (link) => {
        await link.drain().catch((error: unknown) => logEvent('worker_not_drained', { reason: String(error) }));
        await link.end('drained');
      }),
    );
  }

  get #links(): WorkerLink[] {
    return this.#slots.flatMap(({ link }) => link ?? []);
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {}); // who asked hears of it
    return done;
  }

  /** A worker that cannot be brought to the new version is ended; the one that replaces it begins with it. */
  #commit(snapshot: Snapshot, prepared: ReadonlySet<WorkerLink>): Promise<void> {
    return this.#exclusively(async () => {
      this.#inForce = snapshot;
      const all = this.#links.map(async (link) => {
        try {
          if (!prepared.has(link)) await link.prepare(snapshot); // it was launched in between
          await link.commit(snapshot);
        } catch (error) {
          await link.end(String(error));
        }
      });
      await Promise.all(all);
    });
  }

  #launch(slot: Slot): WorkerLink {
    const { configuration, spans } = this.#options;
    const settings = {
      kind: 'traffic-worker',
      configuration,
      credentials: this.#usable,
      logKey: this.#logKey,
      maxPendingLogBytes: Math.ceil(MAX_PENDING_LOG_BYTES / configuration.concurrency),
      wantsLog: this.#wantsLog,
      wantsSpans: spans !== undefined,
    } as const;
    slot.link = new WorkerLink(this.#program, `traffic-${slot.number}`, settings, {
      onMessage: (message, link) => this.#take(message, link),
      onEnd: (link, reason) => this.#lose(slot, link, reason),
    });
    return slot.link;
  }

  #renew(credentials: Credentials): void {
    try {
      checkUsable(credentials);
    } catch (error) {
      logEvent('credentials_refused', { message: error instanceof Error ? error.message : String(error) });
      return;
    }
    this.#usable = credentials;
    for (const link of this.#links) link.post({ kind: 'credentials', credentials });
  }

  #take(message: Unasked, link: WorkerLink): void {
    const { log, spans, decisions } = this.#options;
    switch (message.kind) {
      case 'generate':
        this.#generate(message.jobs)
          .catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
          .then((result) => link.post({ kind: 'generated', id: message.id, result }));
        return;
      case 'lines':
        log.write(message.bytes, (error) => link.post({ kind: 'lines-taken', areLost: error !== null }));
        return;
      case 'records':
        for (const facts of message.records.spans) spans?.take(facts);
        for (const taker of decisions) taker.absorb(message.records.decisions);
        link.post({ kind: 'records-taken' });
    }
  }

  #lose(slot: Slot, link: WorkerLink, reason: string): void {
    slot.link = undefined;
    if (link.lastMetrics !== undefined) this.#retired.absorb(countersOf(link.lastMetrics));
    this.#retiredCallers = joinCallers([this.#retiredCallers, link.lastPlaintextCallers]);
    if (this.#ended.signal.aborted) return;
    this.#restarts++;
    if (link.servedForMs > STABLE_MS) slot.backoff.reset();
    const waitMs = slot.backoff.next();
    logEvent('worker_ended', { worker: slot.number, reason, restartInMs: Math.round(waitMs) });
    void this.#replace(slot, waitMs);
  }

  async #replace(slot: Slot, waitMs: number): Promise<void> {
    await wait(waitMs, this.#ended.signal);
    await this.#exclusively(async () => {
      if (this.#ended.signal.aborted) return;
      const link = this.#launch(slot);
      try {
        if (this.#inForce !== undefined) {
          await link.prepare(this.#inForce);
          await link.commit(this.#inForce);
        }
        if (this.#isOpen) await link.open();
        logEvent('worker_restarted', { worker: slot.number });
      } catch (error) {
        await link.end(String(error)); // which brings it here again, after a longer wait
      }
    });
  }

  #gauges(): Gauge[] {
    return [
      {
        name: 'lateral_workers_serving',
        help: 'Worker threads whose listeners are open.',
        type: 'gauge',
        read: () => [['', this.#links.filter(({ isServing }) => isServing).length]],
      },
      {
        name: 'lateral_worker_restarts_total',
        help: 'Worker threads that ended and were replaced.',
        type: 'counter',
        read: () => [['', this.#restarts]],
      },
      {
        name: 'lateral_worker_requests_total',
        help: 'Requests and TCP connections that ended, by the worker thread that runs now.',
        type: 'counter',
        read: () => this.#slots.map(({ number, link }) => [`{worker="${number}"}`, handledBy(link)]),
      },
    ];
  }
}

/** Of a worker that has ended only what it counted goes on to count. */
function countersOf(metrics: MetricsSnapshot): MetricsSnapshot {
  return { ...metrics, gauges: metrics.gauges.filter(({ type }) => type === 'counter') };
}

function handledBy(link: WorkerLink | undefined): number {
  const { requests = [], tcpConnections = [] } = link?.lastMetrics ?? {};
  return [...requests, ...tcpConnections].reduce((sum, [, value]) => sum + value, 0);
}
