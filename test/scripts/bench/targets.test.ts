import t from 'tap';
import { MEASURES } from '../../../scripts/bench/measures/all.ts';
import { VALIDATION, VALIDATION_TITLES } from '../../../scripts/bench/measures/validation.ts';
import { readOptions } from '../../../scripts/bench/options.ts';
import { tableOf, verdictsOf } from '../../../scripts/bench/report.ts';
import { AT_THE_START, type Figures, mediansOf, type Row } from '../../../scripts/bench/rows.ts';
import { judge, TARGETS } from '../../../scripts/bench/targets.ts';

const row = (pair: string, load: string, figures: Figures, failure?: string): Row => ({
  measure: 'http',
  load,
  pair,
  rounds: 1,
  figures,
  ...(failure === undefined ? {} : { failure }),
});

const ROWS = [
  row('lateral', '32 connections', { perSecond: 300, cpuOutUs: 20, cpuInUs: 25, p99Ms: 4 }),
  row('envoy', '32 connections', { perSecond: 100, cpuOutUs: 40, cpuInUs: 50, p99Ms: 2 }),
  row('nginx', AT_THE_START, {}, 'nginx ended at its start: no port'),
];

const verdict = (what: string, against: string, rows: readonly Row[]) =>
  judge(rows).find((one) => one.what === what && one.wanted.endsWith(against))?.outcome;

t.test('takes the median of each figure and the sum of the errors', async (t) => {
  const of = (...values: number[]) => mediansOf(values.map((p50Ms) => ({ p50Ms, errors: 1 })));
  t.strictSame(of(9, 1, 4), { p50Ms: 4, errors: 3 });
  t.strictSame(of(9, 1), { p50Ms: 5, errors: 2 });
});

t.test('judges ratios within the run', async (t) => {
  t.strictSame(verdict('requests/s, 32 connections', 'envoy', ROWS), { kind: 'measured', seen: 3, isReached: true });
  t.strictSame(verdict('CPU per request, 32 connections', 'envoy', ROWS), {
    kind: 'measured',
    seen: 0.5,
    isReached: false,
  });
});

t.test('judges nothing that was not measured, and says why', async (t) => {
  const reason = (what: string, against: string, rows = ROWS) => {
    const outcome = verdict(what, against, rows);
    return outcome?.kind === 'not measured' ? outcome.reason : outcome;
  };
  t.equal(reason('requests/s, 32 connections', 'nginx'), 'nginx failed');
  t.equal(reason('requests/s, 128 connections', 'envoy'), '128 connections: left out');
  t.equal(reason('p99, 1000 requests/s', 'envoy'), 'rate was left out');
  t.equal(reason('requests/s, 32 connections', 'envoy', ROWS.slice(0, 1)), 'envoy was left out');
});

t.test('every target is of a load that is measured by default', async (t) => {
  const options = readOptions([]);
  if (options === undefined) throw new Error('no options');
  const ofPairs = options.what
    .flatMap((what) => (what === 'validation' ? [] : MEASURES[what]))
    .flatMap((measure) => measure.cases(options).map(({ title }) => `${measure.name}: ${title}`));
  const measured = new Set([...ofPairs, ...VALIDATION_TITLES.map((title) => `${VALIDATION.name}: ${title}`)]);
  t.strictSame(
    TARGETS.map(({ measure, load }) => `${measure}: ${load}`).filter((name) => !measured.has(name)),
    [],
  );
});

t.test('a failure is a row of the table, and makes no ratio', async (t) => {
  const [http] = MEASURES.http;
  if (http === undefined) throw new Error('no measure');
  const table = tableOf(http, ROWS);
  t.match(table, /^start +nginx +FAILED: nginx ended at its start: no port$/m);
  t.match(table, '32 connections: lateral / envoy: requests/s x3.00, CPU per request x0.50, p99 x2.00\n');
  t.notMatch(table, 'lateral / nginx');
  t.match(verdictsOf(judge(ROWS)), '1 reached, 1 not, ');
});
