import { CODES } from '#policy/error/codes.ts';
import { nearestSpelling } from '#policy/schema/nearest-spelling.ts';
import { type Command, UsageError } from '../command.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { explainAbsence } from '../operations/explain-absence.ts';
import { explainDecision, summaryOf } from '../operations/explain-decision.ts';
import { askAll, openSources } from '../operations/open-sources.ts';
import { REACH_HELP, REACH_OPTIONS, reachOf } from '../operations/reach-options.ts';

/** Most decisions that are listed. */
const MAX_LISTED = 1_000;

const OPTIONS = {
  json: { type: 'boolean', default: false },
  last: { type: 'string' },
  code: { type: 'string' },
  ...REACH_OPTIONS,
} as const;

export const explainCommand: Command = {
  name: 'explain',
  summary: 'why a request was refused: policy, rule, reason, and what to do',
  help: `Usage: lateral explain DECISION-ID [OPTIONS]
       lateral explain --last N [--code CODE] [OPTIONS]

Tells all that is known of a decision that refused a request or a connection (or would have: audit): the
policy and rule, the reason, what the code means and what to do about it. The ID is in the header
\`lateral-decision\` of the answer and \`decisionId\` of the access log. What was allowed is in the access
log alone. Exit code 1 where nobody keeps the decision.

  --last N                lists the last N decisions (to ${MAX_LISTED}), latest last
  --code CODE             only those of this code (docs/errors.md)
  --json                  one JSON object; with --last, one a line
${REACH_HELP}

Examples:
  lateral explain 3f9a1c2b7d5e8f60
  lateral explain --last 20 --code authorization_not_allowed
  lateral explain 3f9a1c2b7d5e8f60 --sidecar 15000
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    const wanted = wantedOf(positionals, values.last, values.code);
    const sources = await openSources(reachOf(values, process.env), process.env);
    try {
      if (wanted.kind === 'list') {
        const answers = await askAll(sources, (source) => source.decisions(wanted.code, wanted.count), io);
        const decisions = answers.flatMap(({ answer }) => answer).sort((one, other) => one.timeMs - other.timeMs);
        const shown = decisions.slice(-wanted.count);
        for (const decision of shown) io.stdout(`${values.json ? JSON.stringify(decision) : summaryOf(decision)}\n`);
        if (shown.length === 0) io.stderr('no decision that refused, or would have, is kept\n');
        return 0;
      }
      const answers = await askAll(sources, (source) => source.decision(wanted.id), io);
      const decision = answers.find(({ answer }) => answer !== undefined)?.answer;
      if (decision === undefined) {
        io.stderr(await explainAbsence(wanted.id, sources));
        return 1;
      }
      io.stdout(values.json ? `${JSON.stringify(decision)}\n` : explainDecision(decision));
      return 0;
    } finally {
      for (const source of sources) source.close();
    }
  },
};

type Wanted =
  | { readonly kind: 'one'; readonly id: string }
  | { readonly kind: 'list'; readonly count: number; readonly code: string };

function wantedOf(positionals: readonly string[], last: string | undefined, code: string | undefined): Wanted {
  const [id, ...more] = positionals;
  if (more.length > 0) throw new UsageError(`one DECISION-ID; ${more.join(' ')} is too much`);
  if (last !== undefined) {
    if (id !== undefined) throw new UsageError('a DECISION-ID or --last, not both');
    const count = Number(last);
    if (!Number.isInteger(count) || count < 1 || count > MAX_LISTED) {
      throw new UsageError(`--last ${last} is not a number from 1 to ${MAX_LISTED}`);
    }
    return { kind: 'list', count, code: code === undefined ? '' : checkedCode(code) };
  }
  if (id === undefined) throw new UsageError('name the DECISION-ID (header lateral-decision), or --last N');
  if (code !== undefined) throw new UsageError('--code goes with --last; a DECISION-ID says all');
  if (!/^[0-9a-f]{16}$/.test(id)) throw new UsageError(`${id} is not a decision ID (16 hexadecimal digits)`);
  return { kind: 'one', id };
}

/** A code of the catalogue; wrong usage otherwise. */
export function checkedCode(code: string): string {
  if (Object.hasOwn(CODES, code)) return code;
  const nearest = nearestSpelling(code, Object.keys(CODES));
  const hint = nearest === undefined ? 'docs/errors.md lists them' : `did you mean ${nearest}?`;
  throw new UsageError(`--code ${code} is not a code; ${hint}`);
}
