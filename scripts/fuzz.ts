import { parseArgs } from 'node:util';
import { keepInCorpus, MAX_CORPUS_BYTES, readCorpus } from '../test/fuzz/corpus.ts';
import { type FuzzTarget, MAX_RUN_MS } from '../test/fuzz/fuzz-target.ts';
import { TARGETS } from '../test/fuzz/targets.ts';
import { Coverage } from './fuzz/coverage.ts';
import { Chance, mutate } from './fuzz/mutate.ts';

/**
 * `npm run fuzz -- --target NAME [--seconds 60] [--seed N]`: looks for bytes that break an invariant of the target, led by
 * the coverage of its sources. Inputs that reach something new join test/fuzz/corpus/NAME (up to its limit); one that
 * breaks an invariant is kept there as `failure-…`, is printed, and ends the run with 1.
 */
const DEFAULT_SECONDS = 60;
/** Coverage is asked for after so many runs: asking costs more than a run. */
const BATCH = 200;
/** Inputs that the search goes on from; beyond it a new one takes the place of another. */
const MAX_POOL = 4_000;
const MAX_OUTCOMES = 20_000;
/** Memory that a run may leave behind: inputs are short and parsers keep nothing. */
const MAX_HEAP_BYTES = 512 * 1_024 * 1_024;

const NAMES = TARGETS.map(({ name }) => name).join(' | ');
const HELP = `Usage: npm run fuzz -- --target NAME [--seconds N] [--seed N]

Looks for bytes that break an invariant of a parser, led by the coverage of its sources.

  --target NAME   ${NAMES}
  --seconds N     how long; default ${DEFAULT_SECONDS}
  --seed N        the same seed tries the same bytes; default: the clock

Inputs that reach something new join test/fuzz/corpus/NAME; one that breaks an invariant is kept there as failure-….
Exit code: 0 nothing found, 1 something found, 2 wrong usage.
`;

const { target, seconds, seed } = readOptions();
process.exitCode = await fuzz(target, seconds * 1_000, seed);

function readOptions(): { readonly target: FuzzTarget; readonly seconds: number; readonly seed: number } {
  try {
    const { values } = parseArgs({
      options: {
        help: { type: 'boolean' },
        target: { type: 'string' },
        seconds: { type: 'string' },
        seed: { type: 'string' },
      },
    });
    if (values.help === true) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    const chosen = TARGETS.find(({ name }) => name === values.target);
    const read = { seconds: Number(values.seconds ?? DEFAULT_SECONDS), seed: Number(values.seed ?? Date.now()) };
    if (chosen === undefined) throw new Error(`--target must be one of ${NAMES}`);
    if (!(read.seconds > 0)) throw new Error(`--seconds must be a number above 0, not ${values.seconds}`);
    if (!Number.isFinite(read.seed)) throw new Error(`--seed must be a number, not ${values.seed}`);
    return { target: chosen, ...read };
  } catch (error) {
    process.stderr.write(`fuzz: ${error instanceof Error ? error.message.split('. ')[0] : error}; see --help\n`);
    process.exit(2);
  }
}

/** Returns the exit code. */
async function fuzz(target: FuzzTarget, durationMs: number, seed: number): Promise<number> {
  const chance = new Chance(seed);
  const coverage = new Coverage(target.sources);
  await coverage.start();
  const corpus = readCorpus(target.name).map(({ bytes }) => bytes);
  let corpusBytes = corpus.reduce((sum, { length }) => sum + length, 0);
  const pool: Buffer[] = [...target.seeds(), ...corpus];
  const outcomes = new Set<string>();
  for (const bytes of pool) if (!tried(target, bytes, outcomes)) return 1;
  await coverage.takeNew();
  const begunAt = performance.now();
  let runs = 0;
  let kept = 0;
  while (performance.now() - begunAt < durationMs) {
    const batch: Buffer[] = [];
    const fresh: Buffer[] = [];
    for (let index = 0; index < BATCH; index++) {
      const bytes = mutate(
        chance.of(pool) ?? NOTHING,
        chance.of(pool) ?? NOTHING,
        target.dictionary,
        chance,
        target.maxBytes,
      );
      const before = outcomes.size;
      if (!tried(target, bytes, outcomes)) return 1;
      if (outcomes.size > before) fresh.push(bytes);
      batch.push(bytes);
    }
    runs += BATCH;
    // outcomes lead the search; coverage says what is worth a place in the repository
    for (const bytes of fresh) {
      if (pool.length < MAX_POOL) pool.push(bytes);
      else pool[chance.below(MAX_POOL)] = bytes;
    }
    const places = await coverage.takeNew();
    for (const bytes of batch) {
      if (places.size === 0) break;
      target.run(bytes); // once more, to see whether it was this one
      if (!(await coverage.claim(places))) continue;
      pool.push(bytes);
      if (corpusBytes + bytes.length > MAX_CORPUS_BYTES) continue;
      keepInCorpus(target.name, bytes);
      corpusBytes += bytes.length;
      kept++;
    }
    if (process.memoryUsage().heapUsed > MAX_HEAP_BYTES) {
      process.stdout.write(`${target.name}: the heap exceeds ${MAX_HEAP_BYTES} bytes\n`);
      return 1;
    }
  }
  const rate = Math.round((runs * 1_000) / (performance.now() - begunAt));
  process.stdout.write(
    `${target.name}: ${runs} runs (${rate}/s, seed ${seed}), ${outcomes.size} outcomes, ${coverage.size} characters of source covered, ${kept} inputs kept, no invariant broken\n`,
  );
  return 0;
}

/** False: an invariant is broken; it has been told. */
function tried(target: FuzzTarget, bytes: Buffer, outcomes: Set<string>): boolean {
  const begun = process.cpuUsage();
  try {
    const outcome = target.run(bytes);
    if (outcomes.size < MAX_OUTCOMES) outcomes.add(outcome);
    const { user, system } = process.cpuUsage(begun); // others may have the processor meanwhile
    const tookMs = (user + system) / 1_000;
    if (tookMs > MAX_RUN_MS) throw new Error(`took ${Math.round(tookMs)} ms, maxRunMs ${MAX_RUN_MS}`);
    return true;
  } catch (error) {
    const path = keepInCorpus(target.name, bytes, 'failure-');
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stdout.write(`${target.name}: ${reason}\n${JSON.stringify(bytes.toString('latin1'))}\nkept as ${path}\n`);
    return false;
  }
}

const NOTHING = Buffer.alloc(0);
