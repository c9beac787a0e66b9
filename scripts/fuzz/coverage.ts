import { type Profiler, Session } from 'node:inspector/promises';

/** Which characters of the chosen sources have been run, by V8's own counters (block coverage). */
export class Coverage {
  readonly #session = new Session();
  readonly #sources: readonly string[];
  /** By script: 1 for each character that has been run. */
  readonly #covered = new Map<string, Uint8Array>();

  constructor(sources: readonly string[]) {
    this.#sources = sources;
  }

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post('Profiler.enable');
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Characters of source that have been run, by the last `takeNew`. */
  get size(): number {
    let sum = 0;
    for (const characters of this.#covered.values()) for (const isRun of characters) sum += isRun;
    return sum;
  }

  /** Adds what was run since the last call; returns the places that were run for the first time. */
  async takeNew(): Promise<Set<string>> {
    const places = new Set<string>();
    for (const [script, now] of await this.#take()) {
      const before = this.#covered.get(script) ?? new Uint8Array(0);
      const covered = new Uint8Array(Math.max(before.length, now.length));
      covered.set(before);
      for (let at = 0; at < now.length; at++) {
        if (now[at] === 1 && covered[at] === 0) {
          covered[at] = 1;
          places.add(`${script}:${at}`);
        }
      }
      this.#covered.set(script, covered);
    }
    return places;
  }

  /** Strikes those of `places` that were run since the last call; true if there were any. */
  async claim(places: Set<string>): Promise<boolean> {
    const before = places.size;
    const now = await this.#take();
    for (const place of places) {
      const [script = '', at = ''] = place.split(':');
      if (now.get(script)?.[Number(at)] === 1) places.delete(place);
    }
    return places.size < before;
  }

  async #take(): Promise<Map<string, Uint8Array>> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage');
    const taken = new Map<string, Uint8Array>();
    for (const { url, scriptId, functions } of result) {
      if (this.#sources.some((part) => url.includes(part))) taken.set(scriptId, charactersOf(functions));
    }
    return taken;
  }
}

function charactersOf(functions: readonly Profiler.FunctionCoverage[]): Uint8Array {
  const length = functions.reduce((end, { ranges }) => Math.max(end, ranges[0]?.endOffset ?? 0), 0);
  const run = new Uint8Array(length);
  // outer ranges come before the inner ones that correct them
  for (const { ranges } of functions)
    for (const { startOffset, endOffset, count } of ranges) run.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  return run;
}
