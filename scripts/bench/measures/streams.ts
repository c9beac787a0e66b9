import type { Pair } from '../pairs/pair.ts';
import { residentMegabytes, watchPeaks } from '../process-figures.ts';
import { type Figures, figureOf, type Sample } from '../rows.ts';
import { figure, loaderOf, type Measure, type Tools } from './measure.ts';

const BYTES = 100_000_000;
const MEGABYTE = 1e6;
const DIRECTIONS = ['down', 'up'] as const;

/** One body of 100 MB at a time, and how far the proxies' memory rises meanwhile. */
export const streams: Measure = {
  name: 'streams',
  title: 'bodies: one of 100 MB at a time',
  app: 'streams',
  protocol: 'http',
  isInboundOnly: false,
  needsLoader: true,
  columns: [
    { figure: 'megabytesPerSecond', title: 'MB/s', digits: 0 },
    { figure: 'residentOutMb', title: 'RSS out', digits: 1 },
    { figure: 'peakOutMb', title: 'peak out', digits: 1 },
    { figure: 'residentInMb', title: 'RSS in', digits: 1 },
    { figure: 'peakInMb', title: 'peak in', digits: 1 },
  ],
  comparisons: [{ title: 'bytes/s', of: figure('megabytesPerSecond') }],
  cases: () =>
    DIRECTIONS.map((direction) => ({
      title: streamTitle(direction),
      run: (pair, tools) => move(pair, tools, direction),
    })),
  warm: async (pair, tools) => {
    for (const direction of DIRECTIONS) await move(pair, tools, direction);
  },
};

export function streamTitle(direction: (typeof DIRECTIONS)[number]): string {
  return `100 MB ${direction}`;
}

/** How far above where it began the resident memory of the worse of the two proxies rose, MB. */
export function growth(figures: Figures): number {
  return Math.max(
    figureOf(figures, 'peakOutMb') - figureOf(figures, 'residentOutMb'),
    figureOf(figures, 'peakInMb') - figureOf(figures, 'residentInMb'),
  );
}

async function move(pair: Pair, tools: Tools, direction: string): Promise<Sample> {
  const pids = [pair.client?.pid, pair.server?.pid];
  const [residentOutMb = 0, residentInMb = 0] = pids.map(residentMegabytes);
  const watch = watchPeaks(pids);
  try {
    const { figures } = await loaderOf(tools).run('stream', { port: pair.port, bytes: BYTES, direction });
    const [peakOutMb = 0, peakInMb = 0] = watch.stop();
    const megabytesPerSecond = figureOf(figures, 'bytesPerSecond') / MEGABYTE;
    if (pair.server === undefined) return { figures: { megabytesPerSecond } };
    return { figures: { megabytesPerSecond, residentOutMb, peakOutMb, residentInMb, peakInMb } };
  } finally {
    watch.stop();
  }
}
