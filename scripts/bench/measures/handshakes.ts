import type { Pair } from '../pairs/pair.ts';
import { type Figures, figureOf, type Sample } from '../rows.ts';
import { figure, inboundOf, loadWith, type Measure, type Tools, warmSeconds, withCpu, withFigures } from './measure.ts';

export const FULL = 'full';
export const RESUMED = 'resumed';

/** New connections with mutual TLS to the callee's proxy, 16 at a time. */
export const handshakes: Measure = {
  name: 'handshakes',
  title: 'handshakes: new connections with mutual TLS 1.3 (P-256, X25519) to the callee’s proxy',
  app: 'pages',
  protocol: 'http',
  isInboundOnly: true,
  needsLoader: true,
  columns: [
    { figure: 'perSecond', title: 'per second', digits: 0 },
    { figure: 'cpuInUs', title: 'us each', digits: 0 },
    { figure: 'perCore', title: 'per core s', digits: 0 },
    { figure: 'errors', title: 'errors', digits: 0 },
  ],
  comparisons: [
    { title: 'per second', of: figure('perSecond') },
    { title: 'per second of a core', of: figure('perCore') },
  ],
  remark:
    '"per core s": handshakes that one second of processor time pays for. Lateral judges the certificate of a resumed ' +
    'session anew, as of any: trust may have overtaken it since.',
  cases: ({ seconds }) => [
    { title: FULL, run: (pair, tools) => shake(pair, tools, seconds, false) },
    { title: RESUMED, run: (pair, tools) => shake(pair, tools, seconds, true) },
  ],
  warm: (pair, tools) => shake(pair, tools, warmSeconds(tools.options), false),
};

async function shake(pair: Pair, tools: Tools, seconds: number, resume: boolean): Promise<Sample> {
  const options = { port: inboundOf(pair), seconds, resume, ...credentials(tools) };
  const sample = await withCpu(pair, 'handshakes', () => loadWith(tools, 'handshakes', options, 'handshakes'));
  if (resume && figureOf(sample.figures, 'resumed') === 0) {
    return { figures: {}, note: 'resumes no session: each handshake was a full one' };
  }
  return withFigures(sample, { perCore: perCore(sample.figures) });
}

function perCore({ cpuInUs = Number.NaN }: Figures): number {
  return 1e6 / cpuInUs;
}

/** The caller's identity, for loads that speak mutual TLS themselves. */
export function credentials({ certificates }: Tools): { certificate: string; key: string } {
  return { certificate: `${certificates}/client.pem`, key: `${certificates}/client.key` };
}
