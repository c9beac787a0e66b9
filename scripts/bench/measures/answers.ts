import { PAGES } from '../pages.ts';
import { figureOf } from '../rows.ts';
import { httpTitle, loopOver, REQUEST_COLUMNS, REQUEST_COMPARISONS } from './http.ts';
import { figure, type Measure, warmSeconds, withFigures } from './measure.ts';

const CONNECTIONS = 32;
const MEGABYTE = 1e6;

/** Answers of 64 kB in a closed loop. */
export const answers: Measure = {
  name: 'answers',
  title: 'bodies: closed loop, answers of 64 kB',
  app: 'pages',
  protocol: 'http',
  isInboundOnly: false,
  needsLoader: false,
  columns: [{ figure: 'megabytesPerSecond', title: 'MB/s', digits: 0 }, ...REQUEST_COLUMNS],
  comparisons: [{ title: 'bytes/s', of: figure('megabytesPerSecond') }, ...REQUEST_COMPARISONS.slice(1)],
  cases: () => [
    {
      title: httpTitle(CONNECTIONS),
      run: async (pair, tools) => {
        const sample = await loopOver(pair, tools, '/64k', CONNECTIONS);
        const megabytesPerSecond = (figureOf(sample.figures, 'perSecond') * PAGES['64k']) / MEGABYTE;
        return withFigures(sample, { megabytesPerSecond });
      },
    },
  ],
  warm: (pair, tools) =>
    loopOver(pair, { ...tools, options: { ...tools.options, seconds: warmSeconds(tools.options) } }, '/64k', 8),
};
