import type { AppKind } from '../apps.ts';
import type { Loader } from '../loader.ts';
import type { Options } from '../options.ts';
import type { Pair } from '../pairs/pair.ts';
import { cpuSeconds } from '../process-figures.ts';
import type { Processes } from '../processes.ts';
import { type Figures, figureOf, type Sample } from '../rows.ts';

/** What a load may use. */
export interface Tools {
  readonly options: Options;
  readonly processes: Processes;
  /** Absent only in measures that do not need it. */
  readonly loader: Loader | undefined;
  /** The caller's certificate and key, for loads that speak mutual TLS themselves. */
  readonly certificates: string;
}

/** One line of a measure's table for each pair. */
export interface LoadCase {
  readonly title: string;
  /** Before the first round, where the pair needs more warming for this load (its connections made). */
  warm?(pair: Pair, tools: Tools): Promise<unknown>;
  run(pair: Pair, tools: Tools): Promise<Sample>;
}

export interface Column {
  readonly figure: string;
  readonly title: string;
  readonly digits: number;
}

/** What Lateral's ratio to another pair is made of. */
export interface Comparison {
  readonly title: string;
  of(figures: Figures): number;
}

/** How rows are shown. */
export interface Table {
  readonly name: string;
  readonly title: string;
  readonly columns: readonly Column[];
  readonly comparisons: readonly Comparison[];
  /** Said below the table. */
  readonly remark?: string;
}

/** One table: an app, pairs made for it alone, loads. */
export interface Measure extends Table {
  readonly app: AppKind;
  readonly protocol: 'http' | 'grpc';
  /** Loads go to the callee's proxy, past the caller's: there is nothing to measure without one. */
  readonly isInboundOnly: boolean;
  readonly needsLoader: boolean;
  /** Fewer than asked for, where a second round would see traces of the first. */
  readonly maxRounds?: number;
  cases(options: Options): readonly LoadCase[];
  /** Code compiled, connections made. */
  warm(pair: Pair, tools: Tools): Promise<unknown>;
}

/** How long a pair is warmed. */
export function warmSeconds({ seconds }: Options): number {
  return Math.min(2, seconds);
}

/** Runs a load and adds what each of `figures[per]` cost the proxies, if any: `cpuOutUs`, `cpuInUs`, microseconds. */
export async function withCpu(pair: Pair, per: string, load: () => Promise<Sample>): Promise<Sample> {
  const used = () => [cpuSeconds(pair.client?.pid), cpuSeconds(pair.server?.pid)] as const;
  const [outBefore, inBefore] = used();
  const sample = await load();
  if (pair.server === undefined) return sample;
  const [outAfter, inAfter] = used();
  const each = 1e6 / Math.max(figureOf(sample.figures, per), 1);
  return withFigures(sample, { cpuOutUs: (outAfter - outBefore) * each, cpuInUs: (inAfter - inBefore) * each });
}

export function withFigures(sample: Sample, more: Figures): Sample {
  return { ...sample, figures: { ...sample.figures, ...more } };
}

/** Runs a load of the loader; fails when nothing at all succeeded. */
export async function loadWith(
  tools: Tools,
  command: string,
  options: { readonly [option: string]: string | number | boolean },
  counted = 'requests',
): Promise<Sample> {
  const { figures, firstError } = await loaderOf(tools).run(command, options);
  if (figures[counted] === 0) throw new Error(firstError || `no ${counted}`);
  return firstError === '' ? { figures } : { figures, note: `${figures['errors']} errors: ${firstError}` };
}

export function loaderOf({ loader }: Tools): Loader {
  if (loader === undefined) throw new Error('the loader is not there');
  return loader;
}

/** The pair's inbound port. */
export function inboundOf({ name, inboundPort }: Pair): number {
  if (inboundPort === undefined) throw new Error(`${name} has no inbound`);
  return inboundPort;
}

/** Processor time of both proxies, a request, microseconds. */
export function bothCpu({ cpuOutUs = Number.NaN, cpuInUs = Number.NaN }: Figures): number {
  return cpuOutUs + cpuInUs;
}

export function figure(name: string): (figures: Figures) => number {
  return (figures) => figures[name] ?? Number.NaN;
}
