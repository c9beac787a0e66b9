import { shortIdentity } from '../operations/show-tap-line.ts';
import { plain, table } from '../operations/table.ts';
import { PASSED_OVER } from './recorded-line.ts';
import type { Difference, ReplayReport } from './replay-tally.ts';

/** Differences that are shown; all are in --json. */
const MAX_SHOWN = 50;

/** Reasons that are shown. */
const MAX_REASONS = 10;

/** The report for a terminal. */
export function showReport(report: ReplayReport): string {
  const { differences, missing } = report;
  const counts = [
    ['lines', `${report.lines}`],
    ['same', `${report.same}`],
    ['newly refused', `${report.newlyRefused}`],
    ['newly allowed', `${report.newlyAllowed}`],
    [
      'other rule',
      `${report.otherRule}`,
      'let through, or refused, as before, but by another rule or for another reason',
    ],
    ['undecidable', `${report.undecidable}`, 'what the log does not hold would decide'],
    ...missing.map(({ input, count, decisionId }) => ['', `${count}`, plain(`${input}, e.g. ${decisionId}`)]),
    ...passedOver(report),
  ];
  let text = table(counts);
  if (differences.length === 0) return text;
  const shown = differences.slice(0, MAX_SHOWN);
  text += `\n${table([['COUNT', 'FROM', 'TO', 'REQUEST', 'BEFORE -> AFTER', 'BY', 'EXAMPLE'], ...shown.map(rowOf)])}`;
  const hidden = differences.length - shown.length;
  if (hidden > 0) text += `and ${hidden} further kinds of differences: --json tells them\n`;
  if (report.furtherDifferences > 0)
    text += `and ${report.furtherDifferences} requests of kinds that were too many to count\n`;
  text += '\nWhy:\n';
  for (const { decisionId, reason } of shown.slice(0, MAX_REASONS))
    text += plain(`${decisionId}: ${reason}`).concat('\n');
  return text;
}

function passedOver({ passedOver: counts }: ReplayReport): string[][] {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (total === 0) return [];
  const reasons = Object.entries(PASSED_OVER).flatMap(([name, reason]) => {
    const count = Object.entries(counts).find(([key]) => key === name)?.[1];
    return count === undefined ? [] : [['', `${count}`, reason]];
  });
  return [['passed over', `${total}`], ...reasons];
}

function rowOf(difference: Difference): string[] {
  const { count, source, destination, port, method, path, before, after, decisionId } = difference;
  const request = method === null ? 'a TCP connection' : `${method} ${path}`;
  const from = source === null ? 'nobody' : shortIdentity(source);
  const row = [`${count}`, from, `${shortIdentity(destination)}:${port}`, request, `${before} -> ${after}`];
  return [...row, by(difference), decisionId].map(plain);
}

/** What decides now; where nothing does, what decided before. */
function by({ policy, rule, policyBefore, ruleBefore }: Difference): string {
  if (policy !== null) return named(policy, rule);
  return policyBefore === null ? 'no policy' : `no policy; before ${named(policyBefore, ruleBefore)}`;
}

function named(policy: string, rule: number | null): string {
  return rule === null ? policy : `${policy} rule ${rule}`;
}
