import { formatProblem, type Problem } from '#policy/problem.ts';
import { type Command, UsageError } from '../command.ts';
import { loadPolicies } from '../offline/load-policies.ts';
import { MESH_HELP, MESH_OPTIONS, meshOf } from '../offline/mesh-options.ts';
import { parseOptions } from '../offline/parse-options.ts';

const OPTIONS = { json: { type: 'boolean', default: false }, ...MESH_OPTIONS } as const;

export const checkCommand: Command = {
  name: 'check',
  summary: 'analyses policy files offline',
  help: `Usage: lateral check PATH… [OPTIONS]

Reads the resources below all paths (*.yaml, *.yml; folders with what is in them) as one set and
prints what is wrong or doubtful, one line each:

  FILE:LINE:COLUMN: SEVERITY CODE MESSAGE

Errors keep a set from being put in force; warnings do not. Exit code 1 on any error.

  --json                  one JSON object: {"problems": [{"file", "line", "column", "severity",
                          "code", "message"}], "errors": N, "warnings": N}
${MESH_HELP}

Example:
  lateral check examples/shop/policies
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    if (positionals.length === 0) throw new UsageError('name a file or folder to check');
    const { problems, files, sourced } = await loadPolicies(positionals, meshOf(values));
    const errors = count(problems, 'error');
    const warnings = count(problems, 'warning');
    if (values.json) {
      io.stdout(`${JSON.stringify({ problems, errors, warnings })}\n`);
      return errors > 0 ? 1 : 0;
    }
    for (const problem of problems) io.stdout(`${formatProblem(problem)}\n`);
    const found =
      errors + warnings === 0 ? 'no problems' : `${plural(errors, 'error')}, ${plural(warnings, 'warning')}`;
    io.stderr(`${found} in ${plural(files, 'file')} (${plural(sourced.length, 'resource')})\n`);
    return errors > 0 ? 1 : 0;
  },
};

function count(problems: readonly Problem[], severity: Problem['severity']): number {
  return problems.filter((problem) => problem.severity === severity).length;
}

function plural(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
