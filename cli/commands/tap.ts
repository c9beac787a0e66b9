import { MAX_TAP_LINES, MAX_TAP_SECONDS, type TapRequest } from '#sidecar/telemetry/tap-request.ts';
import { type Command, type CommandIo, UsageError } from '../command.ts';
import { durationMs } from '../duration.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { REACH_HELP, REACH_OPTIONS, reachOf } from '../operations/reach-options.ts';
import { showTapLine } from '../operations/show-tap-line.ts';
import { readTap } from '../operations/tap-sidecar.ts';
import { MAX_TAPPED_PODS, type TapTarget, tapTargets } from '../operations/tap-targets.ts';
import { untilToldToStop } from '../until-told-to-stop.ts';
import { checkedCode } from './explain.ts';

const OPTIONS = {
  code: { type: 'string' },
  denied: { type: 'boolean', default: false },
  direction: { type: 'string' },
  limit: { type: 'string' },
  for: { type: 'string' },
  json: { type: 'boolean', default: false },
  ...REACH_OPTIONS,
} as const;

export const tapCommand: Command = {
  name: 'tap',
  summary: 'requests as they end, live',
  help: `Usage: lateral tap NAMESPACE[/WORKLOAD-or-POD] [OPTIONS]
       lateral tap --sidecar PORT [OPTIONS]

Prints requests and connections as they end, one line each, as their sidecars log them: query values
that look secret are redacted, bodies and credentials are never shown. A request between two pods is
seen twice, out of the one and in to the other. It costs the sidecars nothing while nobody looks on.

  --denied                only what was refused
  --code CODE             only this code (docs/errors.md)
  --direction DIRECTION   inbound or outbound
  --limit N               ends after N lines (at most ${MAX_TAP_LINES})
  --for DURATION          ends after that (default and at most ${MAX_TAP_SECONDS / 60}m); Ctrl-C ends it too
  --json                  the whole lines of the access log, one JSON object a line
${REACH_HELP}

In a cluster up to ${MAX_TAPPED_PODS} pods are tapped at once, each by a port-forward to its sidecar; a control plane
outside of one relays the lines of up to as many sidecars that are connected to it.

Examples:
  lateral tap shop --denied
  lateral tap shop/orders --for 60s --json
  lateral tap shop/orders --control-plane 127.0.0.1:15012 --token-file operator.token
  lateral tap --sidecar 15000 --code authorization_not_allowed --limit 1
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    const [target, ...more] = positionals;
    if (more.length > 0) throw new UsageError(`one NAMESPACE[/WORKLOAD-or-POD]; ${more.join(' ')} is too much`);
    const request = requestOf(values);
    const targets = await tapTargets(reachOf(values, process.env), target, request, process.env);
    const told = untilToldToStop();
    const stop = new AbortController();
    told.promise.then(() => stop.abort());
    return tapAll(targets, request, values.json, stop, io);
  },
};

/** Taps all of them until every tap has ended, or the limit is reached. Throws when none could be tapped. */
async function tapAll(
  targets: readonly TapTarget[],
  request: TapRequest,
  isJson: boolean,
  stop: AbortController,
  io: CommandIo,
): Promise<number> {
  const isOneOfMany = targets.length > 1;
  let shown = 0;
  let begun = 0;
  const onBegin = () => {
    begun++;
    if (begun === targets.length) io.stderr(`looking on at ${begun} ${begun === 1 ? 'sidecar' : 'sidecars'}\n`);
  };
  const taps = targets.map(async ({ name, open }) => {
    const onLine = (line: { readonly [field: string]: unknown }, text: string) => {
      if (shown >= request.limit) return;
      shown++;
      io.stdout(`${isJson ? text : showTapLine(line, isOneOfMany ? name : undefined)}\n`);
      if (shown === request.limit) stop.abort();
    };
    try {
      return await readTap(await open(), { onBegin, onLine }, stop.signal);
    } catch (error) {
      const reason = `${name}: ${error instanceof Error ? error.message : String(error)}`;
      if (isOneOfMany) io.stderr(`warning: ${reason}\n`);
      return reason;
    }
  });
  const ends = await Promise.all(taps);
  const failures = ends.filter((end) => typeof end === 'string');
  if (failures.length === targets.length) throw new Error(failures.join('; '));
  const skipped = ends.reduce((sum, end) => sum + (typeof end === 'string' ? 0 : end.skipped), 0);
  io.stderr(`${shown} shown${skipped === 0 ? '' : `, ${skipped} skipped: more than can be shown; narrow it down`}\n`);
  return 0;
}

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];

function requestOf({ code, denied, direction, limit, for: duration }: Values): TapRequest {
  if (direction !== undefined && direction !== 'inbound' && direction !== 'outbound') {
    throw new UsageError(`--direction ${direction} is neither inbound nor outbound`);
  }
  const count = limit === undefined ? MAX_TAP_LINES : Number(limit);
  if (!Number.isInteger(count) || count < 1 || count > MAX_TAP_LINES) {
    throw new UsageError(`--limit ${limit} is not a number from 1 to ${MAX_TAP_LINES}`);
  }
  const seconds = duration === undefined ? MAX_TAP_SECONDS : durationMs('--for', duration) / 1_000;
  if (seconds < 1 || seconds > MAX_TAP_SECONDS) {
    throw new UsageError(`--for ${duration} is outside of 1s to ${MAX_TAP_SECONDS / 60}m`);
  }
  return {
    code: code === undefined ? undefined : checkedCode(code),
    decision: denied ? 'deny' : undefined,
    direction,
    limit: count,
    seconds,
  };
}
