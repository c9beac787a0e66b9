import { residentMegabytes } from '../process-figures.ts';
import { bothCpu, figure, loadWith, type Measure, warmSeconds, withCpu, withFigures } from './measure.ts';

const RATE = 1_000;
const CONNECTIONS = 16;
/** At 1,000 a second, so that more than a handful lie above p99.9. */
const LENGTHENED = 4;

export const RATE_TITLE = `${RATE} requests/s`;

/** A fixed rate, each latency from the time at which the request was due (no coordinated omission). */
export const rate: Measure = {
  name: 'rate',
  title: `rate: ${RATE} requests/s on ${CONNECTIONS} connections, latency from the time each was due`,
  app: 'pages',
  protocol: 'http',
  isInboundOnly: false,
  needsLoader: true,
  columns: [
    { figure: 'perSecond', title: 'req/s', digits: 0 },
    { figure: 'p50Ms', title: 'p50 ms', digits: 2 },
    { figure: 'p90Ms', title: 'p90 ms', digits: 2 },
    { figure: 'p99Ms', title: 'p99 ms', digits: 2 },
    { figure: 'p999Ms', title: 'p99.9 ms', digits: 2 },
    { figure: 'cpuOutUs', title: 'us/req out', digits: 1 },
    { figure: 'cpuInUs', title: 'us/req in', digits: 1 },
    { figure: 'residentOutMb', title: 'RSS out', digits: 1 },
    { figure: 'residentInMb', title: 'RSS in', digits: 1 },
    { figure: 'errors', title: 'errors', digits: 0 },
  ],
  comparisons: [
    { title: 'p50', of: figure('p50Ms') },
    { title: 'p90', of: figure('p90Ms') },
    { title: 'p99', of: figure('p99Ms') },
    { title: 'p99.9', of: figure('p999Ms') },
    { title: 'CPU per request', of: bothCpu },
  ],
  cases: ({ seconds }) => [
    {
      title: RATE_TITLE,
      run: async (pair, tools) => {
        const options = { port: pair.port, rate: RATE, connections: CONNECTIONS, seconds: seconds * LENGTHENED };
        const sample = await withCpu(pair, 'requests', () => loadWith(tools, 'rate', options));
        if (pair.server === undefined) return sample;
        return withFigures(sample, {
          residentOutMb: residentMegabytes(pair.client?.pid),
          residentInMb: residentMegabytes(pair.server?.pid),
        });
      },
    },
  ],
  warm: (pair, tools) =>
    loadWith(tools, 'rate', {
      port: pair.port,
      rate: RATE,
      connections: CONNECTIONS,
      seconds: 2 * warmSeconds(tools.options),
    }),
};
