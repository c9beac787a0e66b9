import { type Command, UsageError } from '../command.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { mergeProxies } from '../operations/merge-proxies.ts';
import { askAll, openSources } from '../operations/open-sources.ts';
import { REACH_HELP, REACH_OPTIONS, reachOf } from '../operations/reach-options.ts';
import { showProxies } from '../operations/show-proxies.ts';

const OPTIONS = {
  json: { type: 'boolean', default: false },
  'fail-on': { type: 'string' },
  ...REACH_OPTIONS,
} as const;

/** Which states make the command fail, by the word of --fail-on. */
const FAILING: { readonly [word: string]: readonly string[] } = {
  refused: ['refused'],
  pending: ['pending', 'refused'],
};

export const proxiesCommand: Command = {
  name: 'proxies',
  summary: 'the sidecars that are connected, and whether they have the policies of now',
  help: `Usage: lateral proxies [NAMESPACE] [OPTIONS]

Lists the sidecars that are connected to the control plane (in a cluster: to any of its replicas), of
all namespaces or of one. STATE is current (it has what it should), pending (it was sent a new version)
or refused (it would not take the last one: the reasons stand below, the version before it stays in
force). POLICIES is the version in force in it, VERSION that of the program. PLAINTEXT says how many callers
came without mutual TLS within a day (who they are stands below), or for how long there was none: where that is
long enough for all who call to have called, STRICT is safe.

  --json                  one JSON object: {"proxies": […], "sources": […]}
  --fail-on refused       exit code 1 if any is refused; \`pending\`: if any is not current
${REACH_HELP}

Examples:
  lateral proxies shop
  lateral proxies --control-plane 127.0.0.1:15012 --token-file operator.token
  lateral proxies --sidecar 15000
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    const [namespace, ...more] = positionals;
    if (more.length > 0) throw new UsageError(`one NAMESPACE, or none; ${more.join(' ')} is too much`);
    const failing = failingStates(values['fail-on']);
    const sources = await openSources(reachOf(values, process.env), process.env);
    try {
      const answers = await askAll(sources, (source) => source.proxies(), io);
      const merged = mergeProxies(answers, namespace);
      if (values.json) io.stdout(`${JSON.stringify(merged)}\n`);
      else showProxies(merged, namespace, Date.now(), io);
      return merged.proxies.some(({ state }) => failing.includes(state)) ? 1 : 0;
    } finally {
      for (const source of sources) source.close();
    }
  },
};

function failingStates(word: string | undefined): readonly string[] {
  if (word === undefined) return [];
  const states = Object.hasOwn(FAILING, word) ? FAILING[word] : undefined;
  if (states === undefined) throw new UsageError(`--fail-on ${word}: known are refused and pending`);
  return states;
}
