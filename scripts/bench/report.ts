import type { Table } from './measures/measure.ts';
import type { Figures, Row } from './rows.ts';
import { NOT_MEASURED_HERE, type Verdict } from './targets.ts';

const CELL_WIDTH = 10;
const PAIR_WIDTH = 8;

/** A measure's table, then Lateral's ratio to each other pair. */
export function tableOf(measure: Table, rows: readonly Row[]): string {
  const width = Math.max(...rows.map(({ load }) => load.length), 0);
  const line = (load: string, pair: string, cells: readonly string[]) =>
    `${[load.padEnd(width), pair.padEnd(PAIR_WIDTH), ...cells.map((cell) => cell.padStart(CELL_WIDTH))].join(' ').trimEnd()}\n`;
  const cellsOf = (row: Row) => {
    if (row.failure !== undefined) return [`  FAILED: ${row.failure}`];
    const cells = measure.columns.map(({ figure, digits }) => row.figures[figure]?.toFixed(digits) ?? '-');
    return row.note === undefined ? cells : [...cells, `  ${row.note}`];
  };
  const head = line(
    '',
    'pair',
    measure.columns.map(({ title }) => title),
  );
  const body = rows.map((row) => line(row.load, row.pair, cellsOf(row))).join('');
  const remark = measure.remark === undefined ? '' : `${measure.remark}\n`;
  return `\n${measure.title}\n${head}${body}${remark}${ratios(measure, rows)}`;
}

function ratios({ comparisons }: Table, rows: readonly Row[]): string {
  return rows
    .filter(({ pair }) => pair === 'lateral')
    .flatMap((own) =>
      rows
        .filter(({ load, pair }) => load === own.load && pair !== 'lateral' && pair !== 'direct')
        .map((other) => {
          const parts = comparisons.flatMap(({ title, of }) => ratio(title, of, own.figures, other.figures));
          return parts.length === 0 ? '' : `${own.load}: lateral / ${other.pair}: ${parts.join(', ')}\n`;
        }),
    )
    .join('');
}

function ratio(title: string, of: (figures: Figures) => number, own: Figures, other: Figures): string[] {
  if (Object.keys(own).length === 0 || Object.keys(other).length === 0) return [];
  const value = of(own) / of(other);
  return Number.isFinite(value) ? [`${title} x${value.toFixed(2)}`] : [];
}

/** What is to be reached, what was seen, and whether it is. */
export function verdictsOf(verdicts: readonly Verdict[]): string {
  const width = Math.max(...verdicts.map(({ what }) => what.length), 0);
  const line = (what: string, wanted: string, seen: string, reached: string) =>
    `${what.padEnd(width)} ${wanted.padStart(14)} ${seen.padStart(8)}  ${reached}\n`;
  const lines = verdicts.map(({ what, wanted, outcome }) =>
    outcome.kind === 'measured'
      ? line(what, wanted, outcome.seen.toFixed(2), outcome.isReached ? 'yes' : 'no')
      : line(what, wanted, '-', `not measured: ${outcome.reason}`),
  );
  const measured = verdicts.flatMap(({ outcome }) => (outcome.kind === 'measured' ? [outcome.isReached] : []));
  const reached = measured.filter((isReached) => isReached).length;
  const sum = `${reached} reached, ${measured.length - reached} not, ${verdicts.length - measured.length} not measured`;
  return `\n${line('target', 'wanted', 'seen', 'reached')}${lines.join('')}${sum}. ${NOT_MEASURED_HERE}\n`;
}
