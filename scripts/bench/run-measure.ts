import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startApp } from './apps.ts';
import { installed } from './installed.ts';
import type { LoadCase, Measure, Tools } from './measures/measure.ts';
import type { PairName } from './options.ts';
import { envoyPair } from './pairs/envoy-pair.ts';
import { lateralPair } from './pairs/lateral-pair.ts';
import { nginxPair } from './pairs/nginx-pair.ts';
import type { Ground, Pair } from './pairs/pair.ts';
import { AT_THE_START, mediansOf, type Row, type Sample } from './rows.ts';

/**
 * Starts an app and pairs for one measure alone, warms them, puts every load on each pair in turn, round by round, and
 * ends them. A pair that cannot be started or fails under a load gets a row that says so; the others go on.
 */
export async function runMeasure(measure: Measure, tools: Tools, directory: string, sinkPort: number): Promise<Row[]> {
  const { processes, certificates, loader } = tools;
  const earlier = processes.all;
  const own = join(directory, measure.name);
  await mkdir(own);
  try {
    const appPort = await startApp(measure.app, processes, own, loader);
    const ground = { processes, directory: own, certificates, appPort, protocol: measure.protocol, sinkPort };
    const { pairs, rows } = await startPairs(measure, ground, tools);
    for (const load of measure.cases(tools.options)) rows.push(...(await runLoad(measure, load, pairs, tools)));
    return rows;
  } finally {
    await processes.stop(processes.all.filter((child) => !earlier.includes(child)));
  }
}

/** The pairs that started and took their warming; a row for each that did not. */
async function startPairs(measure: Measure, ground: Ground, tools: Tools): Promise<{ pairs: Pair[]; rows: Row[] }> {
  const pairs: Pair[] = [];
  const rows: Row[] = [];
  for (const name of tools.options.only) {
    if (name === 'direct' && measure.isInboundOnly) continue;
    try {
      say(`${measure.name}: starting ${name}`);
      const pair = await startPair(name, ground);
      if (pair === undefined) continue;
      await measure.warm(pair, tools);
      pairs.push(pair);
    } catch (error) {
      if (tools.processes.isStopped) throw error;
      rows.push(failedRow(measure, AT_THE_START, name, error));
    }
  }
  return { pairs, rows };
}

/** undefined: its program is not installed. */
async function startPair(name: PairName, ground: Ground): Promise<Pair | undefined> {
  if (name === 'direct') {
    return { name, port: ground.appPort, inboundPort: undefined, client: undefined, server: undefined };
  }
  if (name === 'lateral') return await lateralPair(ground);
  const program = installed(name);
  if (program === undefined) return undefined;
  return await (name === 'envoy' ? envoyPair(ground, program) : nginxPair(ground, program));
}

async function runLoad(measure: Measure, load: LoadCase, pairs: readonly Pair[], tools: Tools): Promise<Row[]> {
  const rounds = Math.min(tools.options.rounds, measure.maxRounds ?? Number.POSITIVE_INFINITY);
  const samples = new Map<string, Sample[]>(pairs.map(({ name }) => [name, []]));
  const failures: Row[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const pair of pairs) {
      const sampled = samples.get(pair.name);
      if (sampled === undefined) continue; // it has failed
      say(`${measure.name}, ${load.title}, round ${round} of ${rounds}: ${pair.name}`);
      try {
        if (round === 1) await load.warm?.(pair, tools);
        sampled.push(await load.run(pair, tools));
      } catch (error) {
        if (tools.processes.isStopped) throw error;
        failures.push(failedRow(measure, load.title, pair.name, error));
        samples.delete(pair.name);
      }
    }
  }
  const rows = [...samples].map(([pair, all]): Row => {
    const note = all.find((sample) => sample.note !== undefined)?.note;
    const figures = mediansOf(all.map((sample) => sample.figures));
    return { measure: measure.name, load: load.title, pair, rounds, figures, ...(note === undefined ? {} : { note }) };
  });
  return [...rows, ...failures];
}

function failedRow({ name }: Measure, load: string, pair: string, error: unknown): Row {
  const failure = error instanceof Error ? error.message : String(error);
  return { measure: name, load, pair, rounds: 0, figures: {}, failure };
}

function say(text: string): void {
  process.stderr.write(`${text} …\n`);
}
