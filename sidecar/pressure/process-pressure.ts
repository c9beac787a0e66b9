import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { logEvent } from '../operational-log.ts';
import { openConnections } from './connection-budget.ts';
import { type MemoryLimits, type MemoryReading, PressureMonitor, SAMPLE_INTERVAL_MS } from './pressure-monitor.ts';

/** Of a container's memory: nearly all, less what the kernel counts besides (page cache, socket buffers). */
export const CONTAINER_SHARE = 0.9;
/** Of a machine's memory, where no container limits it: the rest is for others. */
export const MACHINE_SHARE = 0.25;
/** OpenSSL's and libuv's part of an accepted connection, which no statistic of V8 counts; about what was measured. */
const NATIVE_BYTES_PER_CONNECTION = 40_960;

/**
 * The limits of this process: a share of what its cgroup (v1 or v2) allows, or of the machine's memory; and V8's own for
 * its heap. `constrainedBytes` as of process.constrainedMemory(): 0, or more than there is, where nothing is set.
 */
export function memoryLimits(constrainedBytes: number, totalBytes: number, heapBytes: number): MemoryLimits {
  const isConstrained = constrainedBytes > 0 && constrainedBytes < totalBytes;
  const memoryBytes = isConstrained ? constrainedBytes * CONTAINER_SHARE : totalBytes * MACHINE_SHARE;
  return { memoryBytes, heapBytes };
}

let lastResidentBytes = 0;
/** Threads with traffic: the kernel deals connections out evenly, so what one has stands for the others. */
let threads = 1;

/** Says that as many threads share what the process has; before the first listener opens. */
export function shareProcess(count: number): void {
  openConnections.limit = Math.floor((openConnections.limit * threads) / count);
  threads = count;
}

/** Resident memory of the process; the last known where it cannot be read: that takes a file descriptor. */
export function residentBytes(): number {
  try {
    lastResidentBytes = process.memoryUsage.rss();
  } catch {
    // EMFILE
  }
  return lastResidentBytes;
}

function read(): MemoryReading {
  const { used_heap_size: heapBytes, external_memory: externalBytes } = getHeapStatistics();
  const nativeBytes = openConnections.count * NATIVE_BYTES_PER_CONNECTION;
  const accountedBytes = (heapBytes + externalBytes + nativeBytes) * threads;
  return { residentBytes: residentBytes(), accountedBytes, heapBytes };
}

/** Of this thread: memory is the process's, heap and event loop are its own. */
export const processPressure = new PressureMonitor(
  memoryLimits(process.constrainedMemory(), totalmem(), getHeapStatistics().heap_size_limit),
  ({ isRefusing, kind, reason, memoryBytes, limits }) => {
    const detail = { memoryBytes: Math.round(memoryBytes), memoryLimitBytes: Math.round(limits.memoryBytes) };
    if (isRefusing) logEvent('overload_began', { kind, reason, ...detail });
    else logEvent('overload_ended', detail);
  },
);

/** This thread's part of the memory that the last sample found in use. */
export function memoryInUseBytes(): number {
  return processPressure.memoryBytes / threads;
}

let timer: NodeJS.Timeout | undefined;

/** Samples from now on, as long as the process lives; the timer does not keep it alive. */
export function watchPressure(): void {
  if (timer !== undefined) return;
  processPressure.sample(read(), performance.now());
  timer = setInterval(() => processPressure.sample(read(), performance.now()), SAMPLE_INTERVAL_MS);
  timer.unref();
}
