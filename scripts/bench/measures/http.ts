import { closedLoop } from '../closed-loop.ts';
import type { Pair } from '../pairs/pair.ts';
import { privateMegabytes } from '../process-figures.ts';
import type { Sample } from '../rows.ts';
import {
  bothCpu,
  type Column,
  type Comparison,
  figure,
  type Measure,
  type Tools,
  warmSeconds,
  withCpu,
  withFigures,
} from './measure.ts';

const WARM_CONNECTIONS = 8;

export const REQUEST_COLUMNS: readonly Column[] = [
  { figure: 'perSecond', title: 'req/s', digits: 0 },
  { figure: 'p50Ms', title: 'p50 ms', digits: 2 },
  { figure: 'p99Ms', title: 'p99 ms', digits: 2 },
  { figure: 'cpuOutUs', title: 'us/req out', digits: 1 },
  { figure: 'cpuInUs', title: 'us/req in', digits: 1 },
  { figure: 'privateOutMb', title: 'MB out', digits: 1 },
  { figure: 'privateInMb', title: 'MB in', digits: 1 },
  { figure: 'errors', title: 'errors', digits: 0 },
];

export const REQUEST_COMPARISONS: readonly Comparison[] = [
  { title: 'requests/s', of: figure('perSecond') },
  { title: 'CPU per request', of: bothCpu },
  { title: 'p99', of: figure('p99Ms') },
  { title: 'private memory', of: ({ privateOutMb = NaN, privateInMb = NaN }) => privateOutMb + privateInMb },
];

/** Adds the private memory of both proxies, if any: `privateOutMb`, `privateInMb`. */
export function withMemory(pair: Pair, sample: Sample): Sample {
  if (pair.server === undefined) return sample;
  return withFigures(sample, {
    privateOutMb: privateMegabytes(pair.client?.pid),
    privateInMb: privateMegabytes(pair.server?.pid),
  });
}

/** Closed loop against the caller's proxy, with what it cost both. */
export async function loopOver(
  pair: Pair,
  { processes, options }: Tools,
  path: string,
  connections: number,
): Promise<Sample> {
  const sample = await withCpu(pair, 'requests', async () => ({
    figures: await closedLoop(processes, pair.port, path, connections, options.seconds),
  }));
  return withMemory(pair, sample);
}

/** Requests one after the other on each connection. */
export const http: Measure = {
  name: 'http',
  title: 'http: closed loop, answers of 1 kB',
  app: 'pages',
  protocol: 'http',
  isInboundOnly: false,
  needsLoader: false,
  columns: REQUEST_COLUMNS,
  comparisons: REQUEST_COMPARISONS,
  cases: ({ connections }) =>
    connections.map((count) => ({
      title: httpTitle(count),
      warm: (pair, tools) => warmHttp(pair, tools, count),
      run: (pair, tools) => loopOver(pair, tools, '/1k', count),
    })),
  warm: (pair, tools) => warmHttp(pair, tools, WARM_CONNECTIONS),
};

function warmHttp(pair: Pair, { processes, options }: Tools, connections: number): Promise<unknown> {
  return closedLoop(processes, pair.port, '/1k', connections, warmSeconds(options));
}

export function httpTitle(connections: number): string {
  return `${connections} connection${connections === 1 ? '' : 's'}`;
}
