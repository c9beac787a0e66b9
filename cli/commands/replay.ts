import { type Command, type CommandIo, UsageError } from '../command.ts';
import { createOfflineAuthorizer } from '../offline/authorize-offline.ts';
import { loadSoundPolicies } from '../offline/load-policies.ts';
import { ALIAS_HELP, ALIAS_OPTIONS, aliasesOf, MESH_HELP, MESH_OPTIONS, meshOf } from '../offline/mesh-options.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { MAX_LINE_BYTES } from '../offline/read-lines.ts';
import { parseLabels, parseTarget } from '../offline/workload-option.ts';
import { replayLog } from '../replay/replay-log.ts';
import { ReplayTally } from '../replay/replay-tally.ts';
import { type NamedWorkload, Replayer } from '../replay/replayer.ts';
import { showReport } from '../replay/show-report.ts';

const OPTIONS = {
  log: { type: 'string', multiple: true },
  policies: { type: 'string' },
  to: { type: 'string' },
  label: { type: 'string', multiple: true },
  json: { type: 'boolean', default: false },
  ...MESH_OPTIONS,
  ...ALIAS_OPTIONS,
} as const;

export const replayCommand: Command = {
  name: 'replay',
  summary: 'what changed policies would have decided of recorded traffic',
  help: `Usage: lateral replay --log FILE --policies PATH [OPTIONS]

Decides each request of an access log anew, by these policies and the very code that the sidecar runs,
and tells what would have been decided otherwise: how often, who asked whom for what, which policy
decides, and the ID of one such decision. Nothing is sent to anybody.

What the log does not hold is not guessed: a request whose decision hangs on it is counted as
undecidable, with what is missing (a header that no policy looked at when it was written, the query
where a value was redacted, a secret). Tokens are not judged again: their claims are those recorded.
What comes after authorization is taken to be as it was. Lines that tell of no decision of
authorization are passed over, and counted: calls of the other direction, what was refused before,
events among the lines, lines that are cut off, are no JSON or longer than ${MAX_LINE_BYTES / 1024 / 1024} MiB.

  --log FILE              the access log, as sidecars write it, plain or gzip; - reads standard
                          input; may be repeated
  --policies PATH         a folder of resources (*.yaml, *.yml) or one file: all that is to be in
                          force, MeshDefaults included
  --to NAMESPACE/WORKLOAD for lines that do not say which workload they are of (older versions;
                          labels of more than 1 KiB); those of other namespaces are passed over
  --label KEY=VALUE       a label of that workload; may be repeated
  --json                  one JSON object in place of text
${MESH_HELP}
${ALIAS_HELP}

Exit code 0: nothing that could be decided is refused or let through otherwise; 1: something is, or
it could not run; 2: wrong usage. What is undecidable, or decided by another rule alone, is no
difference to callers and does not count.

Example:
  lateral replay --log orders.log --policies ./policies-of-tomorrow
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    const { log: logs = [], policies } = values;
    if (logs.length === 0) throw new UsageError('--log FILE is missing');
    if (policies === undefined) throw new UsageError('--policies PATH is missing');
    const mesh = meshOf(values);
    const aliases = aliasesOf(values);
    const workload = workloadOf(values);
    const loaded = await loadSoundPolicies(policies, mesh, io);
    if (loaded === undefined) return 1;
    const offline = createOfflineAuthorizer(
      loaded.sourced.map(({ any }) => any),
      mesh,
      aliases,
    );
    const replayer = new Replayer(offline, workload);
    const tally = new ReplayTally();
    for (const log of logs) await replayLog(log, { replayer, tally, namespace: workload?.namespace }, io);
    return told(tally, values.json, io);
  },
};

function told(tally: ReplayTally, isJson: boolean, io: CommandIo): number {
  const report = tally.report();
  const { foreign = 0, malformed = 0, cut_off: cutOff = 0, too_long: tooLong = 0 } = report.passedOver;
  io.stdout(isJson ? `${JSON.stringify(report)}\n` : showReport(report));
  if (report.lines === foreign + malformed + cutOff + tooLong) {
    io.stderr('lateral replay: none of this is a line of an access log; --log wants what telemetry.accessLog names\n');
    return 1;
  }
  return report.newlyRefused + report.newlyAllowed > 0 ? 1 : 0;
}

function workloadOf({
  to,
  label,
}: {
  readonly to?: string | undefined;
  readonly label?: readonly string[] | undefined;
}): NamedWorkload | undefined {
  if (to === undefined) {
    if (label !== undefined) throw new UsageError('--label goes with --to');
    return undefined;
  }
  const { namespace, name } = parseTarget(to);
  return { namespace, name, labels: parseLabels(label) };
}
