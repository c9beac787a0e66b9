import { type Command, type CommandIo, UsageError } from '../command.ts';
import { createOfflineAuthorizer, type OfflineDecision, refused } from '../offline/authorize-offline.ts';
import { loadSoundPolicies } from '../offline/load-policies.ts';
import { MESH_HELP, MESH_OPTIONS, meshOf } from '../offline/mesh-options.ts';
import { checkOfflineRequest, DEFAULT_PORT, readOfflineRequest } from '../offline/offline-request.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { MAX_LINE_BYTES, readLines } from '../offline/read-lines.ts';
import { parseHeaders, parseLabels, parseRequestLine, parseTarget } from '../offline/workload-option.ts';

const OPTIONS = {
  policies: { type: 'string' },
  to: { type: 'string' },
  label: { type: 'string', multiple: true },
  request: { type: 'string' },
  from: { type: 'string' },
  header: { type: 'string', multiple: true },
  'source-ip': { type: 'string' },
  claims: { type: 'string' },
  batch: { type: 'string' },
  json: { type: 'boolean', default: false },
  ...MESH_OPTIONS,
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];
type OfflineAuthorizer = ReturnType<typeof createOfflineAuthorizer>;

/** Output of a batch is written in pieces of about this length. */
const WRITE_LENGTH = 65_536;

export const authzCommand: Command = {
  name: 'authz',
  summary: 'the authorization decision for a request, with its reason, offline',
  help: `Usage: lateral authz --policies PATH --to NAMESPACE/WORKLOAD[:PORT] --request 'METHOD PATH' [OPTIONS]
       lateral authz --policies PATH --batch FILE

Prints what the sidecar of a workload would decide, by the very code that it runs: the rule that
decided, or the nearest rule and the clause of it that failed. The exit code says whether it ran
(0), not what was decided; broken policies end it with 1.

  --policies PATH         a folder of resources (*.yaml, *.yml) or one file
  --to NAMESPACE/WORKLOAD[:PORT]
                          the workload that is called; PORT is the app's (default ${DEFAULT_PORT})
  --label KEY=VALUE       a label of that workload; without any, those of the first endpoint of
                          the MeshService of that name
  --request 'METHOD PATH' the request; path rules do not see the query
  --from SPIFFE-ID        the proven caller; without it, a caller without a certificate
  --header 'NAME: VALUE'  a request header; may be repeated
  --source-ip ADDRESS     the caller's address
  --batch FILE            one JSON request a line (- reads standard input), one JSON decision a
                          line out, in order
  --json                  one JSON object in place of text
${MESH_HELP}

Token claims are not evaluated in this version: --claims is refused, \`claims\` of a batch line are
ignored (no rule can refer to them).

Example:
  lateral authz --policies examples/shop/policies --to shop/orders --label app=orders \\
    --from spiffe://cluster.local/ns/shop/sa/web --request 'GET /orders/1'
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    if (values.policies === undefined) throw new UsageError('--policies PATH is missing');
    if (values.claims !== undefined) {
      throw new UsageError('--claims: claims are not evaluated in this version; leave the option out');
    }
    const mesh = meshOf(values);
    const single = values.batch === undefined ? singleRequest(values) : undefined;
    if (values.batch !== undefined && (values.to !== undefined || values.request !== undefined)) {
      throw new UsageError('--batch takes the place of --to and --request; leave them out');
    }
    const loaded = await loadSoundPolicies(values.policies, mesh, io);
    if (loaded === undefined) return 1;
    const authorizer = createOfflineAuthorizer(
      loaded.sourced.map(({ any }) => any),
      mesh,
    );
    if (values.batch !== undefined) await runBatch(values.batch, authorizer, io);
    else if (single !== undefined) io.stdout(`${format(decideOne(single, authorizer), values.json)}\n`);
    return 0;
  },
};

/** The request that the options describe, in the form of a batch line. */
function singleRequest(values: Values): unknown {
  if (values.to === undefined) throw new UsageError('--to NAMESPACE/WORKLOAD is missing');
  if (values.request === undefined) throw new UsageError("--request 'METHOD PATH' is missing");
  return {
    to: { ...parseTarget(values.to), labels: parseLabels(values.label) },
    ...parseRequestLine(values.request),
    headers: parseHeaders(values.header),
    from: values.from,
    sourceIp: values['source-ip'],
  };
}

function decideOne(single: unknown, authorizer: OfflineAuthorizer): OfflineDecision {
  const reading = checkOfflineRequest(single);
  if (reading.kind === 'broken') throw new UsageError(reading.reason);
  return authorizer.decide(reading.request);
}

async function runBatch(file: string, authorizer: OfflineAuthorizer, io: CommandIo): Promise<void> {
  let held = '';
  for await (const { text } of readLines(file)) {
    held += `${JSON.stringify(decideLine(text, authorizer))}\n`;
    if (held.length < WRITE_LENGTH) continue;
    io.stdout(held);
    held = '';
  }
  io.stdout(held);
}

function decideLine(text: string | undefined, authorizer: OfflineAuthorizer): OfflineDecision {
  if (text === undefined) return refused('invalid_request', `a line of more than ${MAX_LINE_BYTES} bytes`);
  const reading = readOfflineRequest(text);
  return reading.kind === 'broken' ? refused('invalid_request', reading.reason) : authorizer.decide(reading.request);
}

function format(decision: OfflineDecision, isJson: boolean): string {
  if (isJson) return JSON.stringify(decision);
  return `${decision.decision} ${decision.code}: ${decision.reason}`;
}
