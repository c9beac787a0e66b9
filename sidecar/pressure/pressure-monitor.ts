/** How often memory and the event loop are looked at. */
export const SAMPLE_INTERVAL_MS = 250;
/** Of a limit: from here on new requests are refused … */
export const REFUSE_SHARE = 0.9;
/** … until less than this is in use. */
export const RESUME_SHARE = 0.8;
/** A turn of the event loop that takes longer makes a sample late. */
export const MAX_LOOP_DELAY_MS = 1_000;
/** Late samples in a row that count as pressure: one may be a pause of the whole machine. */
export const LATE_SAMPLES = 3;
const MEGABYTE = 1_048_576;

/** What a process uses, in bytes. */
export interface MemoryReading {
  /** Resident: what the kernel counts against the limit. */
  readonly residentBytes: number;
  /** Of that, what is known to be in use. Allocators keep what is freed, so that it falls where the resident memory does not. */
  readonly accountedBytes: number;
  /** The JavaScript heap. */
  readonly heapBytes: number;
}

export interface MemoryLimits {
  /** For the whole process. */
  readonly memoryBytes: number;
  /** For the JavaScript heap: at it V8 ends the process. */
  readonly heapBytes: number;
}

export type PressureKind = 'none' | 'memory' | 'event-loop';

/**
 * Whether this process can take on more. `reason` is the one thing that is looked at for each request. Between the two
 * watermarks nothing changes. The clock and the readings come in as arguments.
 */
export class PressureMonitor {
  readonly limits: MemoryLimits;
  /** Why new requests are refused, for the log; undefined: they are served. */
  reason: string | undefined = undefined;
  kind: PressureKind = 'none';
  /** In use by the last sample, without what is free within the process. */
  memoryBytes = 0;
  /** How much longer than it should the event loop took until the last sample. */
  loopDelayMs = 0;
  /** Times that refusing began. */
  episodes = 0;
  readonly #onChange: (monitor: PressureMonitor) => void;
  #sampledAt: number | undefined;
  #lateSamples = 0;
  #peakResidentBytes = 0;
  #peakAccountedBytes = 0;

  /** `onChange`: refusing began, or ended. */
  constructor(limits: MemoryLimits, onChange: (monitor: PressureMonitor) => void) {
    this.limits = limits;
    this.#onChange = onChange;
  }

  get isRefusing(): boolean {
    return this.reason !== undefined;
  }

  /** Takes a sample; called every SAMPLE_INTERVAL_MS. `now`: monotonic ms. */
  sample(reading: MemoryReading, now: number): void {
    this.loopDelayMs = Math.max(0, now - (this.#sampledAt ?? now) - SAMPLE_INTERVAL_MS);
    this.#sampledAt = now;
    this.#lateSamples = this.loopDelayMs > MAX_LOOP_DELAY_MS ? this.#lateSamples + 1 : 0;
    this.memoryBytes = this.#inUse(reading);
    const wasRefusing = this.isRefusing;
    this.#judge(reading);
    if (this.isRefusing === wasRefusing) return;
    if (this.isRefusing) this.episodes++;
    this.#onChange(this);
  }

  #judge({ heapBytes }: MemoryReading): void {
    const share = this.isRefusing && this.kind === 'memory' ? RESUME_SHARE : REFUSE_SHARE;
    if (this.memoryBytes > share * this.limits.memoryBytes) {
      this.kind = 'memory';
      this.reason = over('memory in use', this.memoryBytes, 'memoryLimit', this.limits.memoryBytes);
    } else if (heapBytes > share * this.limits.heapBytes) {
      this.kind = 'memory';
      this.reason = over('JavaScript heap', heapBytes, 'heapLimit', this.limits.heapBytes);
    } else if (this.#lateSamples >= LATE_SAMPLES) {
      this.kind = 'event-loop';
      this.reason = `the event loop is ${Math.round(this.loopDelayMs)} ms late, ${this.#lateSamples} times in a row (maxLoopDelayMs ${MAX_LOOP_DELAY_MS})`;
    } else {
      this.kind = 'none';
      this.reason = undefined;
    }
  }

  /**
   * Resident memory without what was in use once and is free now: the next allocations are served from that, and it must not
   * keep the process refusing for ever. What went back to the system meanwhile is no part of it.
   */
  #inUse({ residentBytes, accountedBytes }: MemoryReading): number {
    this.#peakResidentBytes = Math.max(this.#peakResidentBytes, residentBytes);
    this.#peakAccountedBytes = Math.max(this.#peakAccountedBytes, accountedBytes);
    const freed = this.#peakAccountedBytes - accountedBytes;
    const returned = this.#peakResidentBytes - residentBytes;
    return residentBytes - Math.max(0, freed - returned);
  }
}

function over(what: string, bytes: number, limitName: string, limitBytes: number): string {
  return `${what}: ${megabytes(bytes)} of ${limitName} ${megabytes(limitBytes)} (refused above ${REFUSE_SHARE * 100}%, until below ${RESUME_SHARE * 100}%)`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / MEGABYTE)} MB`;
}
