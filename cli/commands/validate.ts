import { readFile, stat } from 'node:fs/promises';
import { MAX_BODY_BYTES } from '#policy/resource/kinds/api-validation-policy.ts';
import { type Command, type CommandIo, UsageError } from '../command.ts';
import { loadSoundPolicies } from '../offline/load-policies.ts';
import { MESH_HELP, MESH_OPTIONS, meshOf } from '../offline/mesh-options.ts';
import { checkOfflineRequest, DEFAULT_PORT, readOfflineRequest } from '../offline/offline-request.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { MAX_LINE_BYTES, readLines } from '../offline/read-lines.ts';
import { createOfflineValidator, type OfflineVerdict, verdictOf } from '../offline/validate-offline.ts';
import { parseHeaders, parseLabels, parseRequestLine, parseTarget } from '../offline/workload-option.ts';

const OPTIONS = {
  policies: { type: 'string' },
  to: { type: 'string' },
  label: { type: 'string', multiple: true },
  request: { type: 'string' },
  from: { type: 'string' },
  header: { type: 'string', multiple: true },
  body: { type: 'string' },
  claims: { type: 'string' },
  batch: { type: 'string' },
  json: { type: 'boolean', default: false },
  ...MESH_OPTIONS,
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];
type OfflineValidator = ReturnType<typeof createOfflineValidator>;

/** Output of a batch is written in pieces of about this length. */
const WRITE_LENGTH = 65_536;

export const validateCommand: Command = {
  name: 'validate',
  summary: 'holds a request against its API description, offline',
  help: `Usage: lateral validate --policies PATH --to NAMESPACE/WORKLOAD[:PORT] --request 'METHOD PATH' [OPTIONS]
       lateral validate --policies PATH --batch FILE

Prints whether the sidecar of a workload would find a request to be as the workload's API description
says, by the very code that it runs. The exit code says whether it ran (0), not what was found;
broken policies end it with 1. Authorization is not asked: see lateral authz.

  --policies PATH         a folder of resources (*.yaml, *.yml) or one file
  --to NAMESPACE/WORKLOAD[:PORT]
                          the workload that is called; PORT is the app's (default ${DEFAULT_PORT})
  --label KEY=VALUE       a label of that workload; without any, those of the first endpoint of
                          the MeshService of that name
  --request 'METHOD PATH' the request; the path with its query
  --header 'NAME: VALUE'  a request header; may be repeated
  --body FILE             the request's body, byte for byte
  --from SPIFFE-ID        the proven caller; only its form is looked at
  --batch FILE            one JSON request a line (- reads standard input), one JSON verdict a line
                          out, in order
  --json                  one JSON object in place of text
${MESH_HELP}

Responses are not validated in this version: a batch line with \`response\` gets the code
invalid_request. Token claims play no part in it: --claims is refused, \`claims\` of a batch line are
ignored.

Example:
  lateral validate --policies examples/shop/policies --to shop/orders --label app=orders \\
    --request 'POST /orders' --header 'content-type: application/json' --body order.json
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    if (values.policies === undefined) throw new UsageError('--policies PATH is missing');
    if (values.claims !== undefined) {
      throw new UsageError('--claims: claims play no part in validation; leave the option out');
    }
    if (values.batch !== undefined && (values.to ?? values.request ?? values.body) !== undefined) {
      throw new UsageError('--batch takes the place of --to, --request and --body; leave them out');
    }
    const mesh = meshOf(values);
    const single = values.batch === undefined ? await singleRequest(values) : undefined;
    const loaded = await loadSoundPolicies(values.policies, mesh, io);
    if (loaded === undefined) return 1;
    const validator = createOfflineValidator(loaded, mesh, (problem) => io.stderr(`warning: ${problem}\n`));
    if (values.batch !== undefined) await runBatch(values.batch, validator, io);
    else io.stdout(`${format(await judgeOne(single, validator), values.json)}\n`);
    return 0;
  },
};

/** The request that the options describe, in the form of a batch line. */
async function singleRequest(values: Values): Promise<unknown> {
  if (values.to === undefined) throw new UsageError('--to NAMESPACE/WORKLOAD is missing');
  if (values.request === undefined) throw new UsageError("--request 'METHOD PATH' is missing");
  return {
    to: { ...parseTarget(values.to), labels: parseLabels(values.label) },
    ...parseRequestLine(values.request),
    headers: parseHeaders(values.header),
    from: values.from,
    bodyBase64: values.body === undefined ? undefined : await readBody(values.body),
  };
}

async function readBody(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    // A longer body is refused by any policy; nothing is learnt from reading more of it.
    if (size > MAX_BODY_BYTES + 1) throw new Error(`${size} bytes exceed the limit of ${MAX_BODY_BYTES}`);
    return (await readFile(file)).toString('base64');
  } catch (error) {
    throw new UsageError(`--body ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function judgeOne(single: unknown, validator: OfflineValidator): Promise<OfflineVerdict> {
  const reading = checkOfflineRequest(single);
  if (reading.kind === 'broken') throw new UsageError(reading.reason);
  return validator.judge(reading.request);
}

async function runBatch(file: string, validator: OfflineValidator, io: CommandIo): Promise<void> {
  let held = '';
  for await (const { text } of readLines(file)) {
    held += `${JSON.stringify(await judgeLine(text, validator))}\n`;
    if (held.length < WRITE_LENGTH) continue;
    io.stdout(held);
    held = '';
  }
  io.stdout(held);
}

async function judgeLine(text: string | undefined, validator: OfflineValidator): Promise<OfflineVerdict> {
  if (text === undefined) return verdictOf('invalid_request', `a line of more than ${MAX_LINE_BYTES} bytes`);
  const reading = readOfflineRequest(text);
  if (reading.kind === 'broken') return verdictOf('invalid_request', reading.reason);
  return validator.judge(reading.request);
}

function format(verdict: OfflineVerdict, isJson: boolean): string {
  if (isJson) return JSON.stringify(verdict);
  return `${verdict.verdict} ${verdict.code}: ${verdict.reason}`;
}
