import { type Command, UsageError } from '../command.ts';
import { durationMs } from '../duration.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { mergeRules } from '../operations/merge-rules.ts';
import { askAll, openSources } from '../operations/open-sources.ts';
import { REACH_HELP, REACH_OPTIONS, reachOf } from '../operations/reach-options.ts';
import { ruleVerdict } from '../operations/rule-verdict.ts';
import { showRules } from '../operations/show-rules.ts';

/** Within which a rule must have matched to be of use, where nobody says. */
const DEFAULT_WINDOW = '7d';

const OPTIONS = {
  json: { type: 'boolean', default: false },
  unused: { type: 'string' },
  ...REACH_OPTIONS,
} as const;

export const rulesCommand: Command = {
  name: 'rules',
  summary: 'how often each rule of the authorization policies matched, and which never did',
  help: `Usage: lateral rules [NAMESPACE] [OPTIONS]

Lists the rules of the AuthorizationPolicies in force, of all namespaces or of one: how often each decided
(AUDIT and on trial: would have) over all sidecars, when it did last, and since when it is in force as it is
written. USE says what follows for the last ${DEFAULT_WINDOW}, or the time of --unused. \`never matched in ${DEFAULT_WINDOW}\` is said
only of rules that were observed for so long, where all sidecars that may have them were heard.

  --unused DURATION       only rules that did not match within this time, e.g. 7d
  --json                  one JSON object: {"rules": […], "observedSince": …, "unheard": […]}
${REACH_HELP}

Examples:
  lateral rules shop
  lateral rules --unused 30d
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    const [namespace, ...more] = positionals;
    if (more.length > 0) throw new UsageError(`one NAMESPACE, or none; ${more.join(' ')} is too much`);
    const window = values.unused ?? DEFAULT_WINDOW;
    const windowMs = durationMs('--unused', window);
    const sources = await openSources(reachOf(values, process.env), process.env);
    try {
      const answers = await askAll(sources, (source) => source.rules(), io);
      const merged = mergeRules(answers.map(({ answer }) => answer));
      const told = { windowMs, nowMs: Date.now(), isWhole: answers.length === sources.length };
      const rules = merged.rules
        .filter(({ policy }) => namespace === undefined || policy.startsWith(`${namespace}/`))
        .map((rule) => ({ ...rule, use: ruleVerdict(rule, merged, told) }))
        .filter(({ use }) => values.unused === undefined || use === 'unused');
      const { observedSince, unheard } = merged;
      if (values.json) io.stdout(`${JSON.stringify({ rules, observedSince, unheard })}\n`);
      else showRules({ rules, observedSince, unheard }, window, told.nowMs, io);
      return 0;
    } finally {
      for (const source of sources) source.close();
    }
  },
};
