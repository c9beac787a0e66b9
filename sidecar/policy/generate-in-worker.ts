import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { LRUCache } from 'lru-cache';
import type { TravellingForm } from '#policy/resource/kinds/api-schema.ts';
import type { Unit } from '#policy/validation/api-model.ts';
import type { GeneratedValidator, GenerateValidators, ValidatorJob } from '#policy/validation/generate-validators.ts';
import { GeneratedParts, isPart } from './generated-parts.ts';

/** Longest time that the documents of one change may take to compile; then the change is refused. */
export const GENERATE_TIMEOUT_MS = 30_000;
/** Generated sources kept for later changes, in characters: a change elsewhere compiles nothing anew. */
export const MAX_CACHED_CHARACTERS = 32 * 1024 * 1024;
/** Heap of the worker. A document that needs more is refused. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 64, stackSizeMb: 4 };
/** Beside this file, and beside this file's bundle (scripts/build.mjs). */
const WORKER_PROGRAM = import.meta.url.endsWith('.ts') ? './validator-worker.ts' : './validator-worker.mjs';
/** What a document counts in the cache besides its sources. */
const ENTRY_CHARACTERS = 4096;
/** What a schema counts that is evaluated as it stands. */
const SCHEMA_CHARACTERS = 1024;

export interface WorkerOptions {
  /** Default GENERATE_TIMEOUT_MS. */
  readonly timeoutMs?: number;
  /** Default MAX_CACHED_CHARACTERS. */
  readonly maxCachedCharacters?: number;
  /** Heap of a worker in MiB; default 512. */
  readonly maxHeapMb?: number;
}

/**
 * Makes a `GenerateValidators` that compiles in a worker thread, started for each change that brings documents
 * not compiled before and ended after it. Rejects when the worker dies or takes too long; it is ended then too.
 */
export function workerGenerator(options: WorkerOptions = {}): GenerateValidators {
  const { timeoutMs = GENERATE_TIMEOUT_MS, maxCachedCharacters = MAX_CACHED_CHARACTERS } = options;
  const { maxHeapMb = WORKER_LIMITS.maxOldGenerationSizeMb } = options;
  const cache = new LRUCache<string, GeneratedValidator>({
    maxSize: maxCachedCharacters,
    sizeCalculation: charactersOf,
  });
  return async (jobs) => {
    const found = new Map<string, GeneratedValidator>();
    const missing = new Map<string, ValidatorJob>();
    const keys = jobs.map(keyOf);
    for (const [index, job] of jobs.entries()) {
      const key = keys[index] ?? '';
      const cached = cache.get(key);
      if (cached === undefined) missing.set(key, job);
      else found.set(key, cached);
    }
    const generated = missing.size === 0 ? [] : await runWorker([...missing.values()], timeoutMs, maxHeapMb);
    for (const [index, key] of [...missing.keys()].entries()) {
      const result = generated[index];
      if (result === undefined) continue;
      found.set(key, result);
      cache.set(key, result);
    }
    return keys.map((key, index) => {
      const result = found.get(key);
      if (result === undefined) throw new Error(`no validators came for APISchema ${jobs[index]?.name}`);
      return result;
    });
  };
}

/** The sidecar's own: one cache for all snapshots. */
export const generateInWorker: GenerateValidators = workerGenerator();

function keyOf({ document, responses, names }: ValidatorJob): string {
  return `${createHash('sha256')
    .update(contentOf(document.descriptorSet ?? document))
    .digest('base64')} ${responses === true} ${names === true}`;
}

function contentOf({ brotli, inline }: TravellingForm): string {
  return brotli ?? inline ?? '';
}

function charactersOf(generated: GeneratedValidator): number {
  return generated.units.reduce(
    (sum, unit) => sum + sizeOf(unit),
    ENTRY_CHARACTERS * (1 + generated.operations.length),
  );
}

/** In characters of source. */
function sizeOf(unit: Unit): number {
  if (typeof unit === 'string') return unit.length;
  if (unit.kind === 'messages')
    return unit.types.length * SCHEMA_CHARACTERS + (unit.ruled?.descriptorSet.byteLength ?? 0);
  return (unit.kind === 'schema' ? unit.schemas.size : unit.nodes.length) * SCHEMA_CHARACTERS;
}

function makeWorker(maxHeapMb: number): Worker {
  return new Worker(new URL(WORKER_PROGRAM, import.meta.url), {
    resourceLimits: { ...WORKER_LIMITS, maxOldGenerationSizeMb: maxHeapMb },
  });
}

function runWorker(
  jobs: readonly ValidatorJob[],
  timeoutMs: number,
  maxHeapMb: number,
): Promise<readonly GeneratedValidator[]> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly GeneratedValidator[]>();
  const worker = makeWorker(maxHeapMb);
  const generated: GeneratedValidator[] = [];
  const deadline = setTimeout(() => {
    reject(new Error(`the API descriptions took longer than ${timeoutMs} ms to compile`));
  }, timeoutMs);
  const parts = new GeneratedParts();
  worker.on('message', (message: unknown) => {
    if (!isPart(message)) return;
    const whole = parts.add(message);
    if (whole !== undefined) generated.push(whole);
    if (generated.length === jobs.length) resolve(generated);
    // Requests have their turn before the next part is asked for.
    else setImmediate(() => worker.postMessage('next'));
  });
  worker.on('error', (error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    reject(new Error(`the API descriptions could not be compiled: ${message}`));
  });
  worker.postMessage(jobs);
  worker.on('exit', (code) => reject(new Error(`the compiling of the API descriptions ended early, code ${code}`)));
  return promise.finally(async () => {
    clearTimeout(deadline);
    await worker.terminate();
  });
}
