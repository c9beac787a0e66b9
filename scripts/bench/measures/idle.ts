import { setTimeout as sleep } from 'node:timers/promises';
import type { Pair } from '../pairs/pair.ts';
import { residentMegabytes } from '../process-figures.ts';
import { figureOf, type Sample } from '../rows.ts';
import { credentials } from './handshakes.ts';
import { figure, inboundOf, loaderOf, type Measure, type Tools } from './measure.ts';

const WARM_CONNECTIONS = 64;
/** After the last handshake, for what it left behind. */
const SETTLE_MS = 2_000;
const KILOBYTES_PER_MEGABYTE = 1_024;

export const IDLE_TITLE = 'idle';

/** What a connection costs on which one request was answered and nothing happens any more. */
export const idle: Measure = {
  name: 'idle',
  title: 'idle: memory of connections with mutual TLS to the callee’s proxy, after one request each',
  app: 'pages',
  protocol: 'http',
  isInboundOnly: true,
  needsLoader: true,
  maxRounds: 1,
  columns: [
    { figure: 'open', title: 'open', digits: 0 },
    { figure: 'residentBeforeMb', title: 'RSS before', digits: 1 },
    { figure: 'residentMb', title: 'RSS with', digits: 1 },
    { figure: 'kilobytesEach', title: 'kB each', digits: 1 },
  ],
  comparisons: [{ title: 'memory each', of: figure('kilobytesEach') }],
  remark: 'Measured once: in a second round the memory of the first would still be there.',
  cases: ({ idle: count }) => [{ title: IDLE_TITLE, run: (pair, tools) => hold(pair, tools, count) }],
  warm: (pair, tools) => hold(pair, tools, WARM_CONNECTIONS),
};

async function hold(pair: Pair, tools: Tools, count: number): Promise<Sample> {
  const residentBeforeMb = residentMegabytes(pair.server?.pid);
  const options = { port: inboundOf(pair), count, ...credentials(tools) };
  const held = await loaderOf(tools).hold('idle', options);
  await sleep(SETTLE_MS);
  const residentMb = residentMegabytes(pair.server?.pid);
  const open = figureOf((await held.finish()).figures, 'open');
  if (open !== count) throw new Error(`${count - open} of ${count} connections were closed meanwhile`);
  const kilobytesEach = ((residentMb - residentBeforeMb) * KILOBYTES_PER_MEGABYTE) / count;
  return { figures: { open, residentBeforeMb, residentMb, kilobytesEach } };
}
