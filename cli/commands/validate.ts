import { readFile, stat } from 'node:fs/promises';
import { MAX_BODY_BYTES } from '#policy/resource/kinds/api-validation-policy.ts';
import { type Command, UsageError } from '../command.ts';
import { loadSoundPolicies } from '../offline/load-policies.ts';
import { MESH_HELP, meshOf } from '../offline/mesh-options.ts';
import { DEFAULT_PORT, type OfflineRequestReading } from '../offline/offline-request.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { checkedRequest, describedRequest, REQUEST_OPTIONS } from '../offline/request-options.ts';
import { runBatch } from '../offline/run-batch.ts';
import { createOfflineValidator, type OfflineVerdict, verdictOf } from '../offline/validate-offline.ts';
import { parseHeaders } from '../offline/workload-option.ts';

const OPTIONS = {
  ...REQUEST_OPTIONS,
  body: { type: 'string' },
  'response-status': { type: 'string' },
  'response-header': { type: 'string', multiple: true },
  'response-body': { type: 'string' },
  message: { type: 'string', multiple: true },
  'response-message': { type: 'string', multiple: true },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];

export const validateCommand: Command = {
  name: 'validate',
  summary: 'holds a request, and its response, against its API description, offline',
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
  --message FILE          a message of a gRPC call, in protobuf, in place of --body; may be repeated
  --response-status CODE  what the app answered, 200 to 599: it is judged too, as far as
                          \`response\` of the policy asks for it (by default it does not)
  --response-header 'NAME: VALUE'
                          a header of the response; may be repeated
  --response-body FILE    the body of the response, byte for byte
  --response-message FILE
                          a message that a gRPC call was answered with; may be repeated
  --from SPIFFE-ID        the proven caller; only its form is looked at
  --batch FILE            one JSON request a line (- reads standard input), one JSON verdict a line
                          out, in order
  --json                  one JSON object in place of text
${MESH_HELP}

A batch line holds a response as \`"response": {"status": 200, "headers": {}, "body": "…"}\`; either has
\`"messages": ["BASE64", …]\` in place of a body where it is of a gRPC call. What is
streamed is judged as a whole here. Token claims play no part in it: --claims is refused, \`claims\` of a batch line are
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
    if (values.batch !== undefined && (values.to ?? values.request ?? values.body ?? values.message) !== undefined) {
      throw new UsageError('--batch takes the place of --to, --request and --body; leave them out');
    }
    const mesh = meshOf(values);
    const single = values.batch === undefined ? await singleRequest(values) : undefined;
    const loaded = await loadSoundPolicies(values.policies, mesh, io);
    if (loaded === undefined) return 1;
    const validator = createOfflineValidator(loaded, mesh, (problem) => io.stderr(`warning: ${problem}\n`));
    if (values.batch !== undefined) {
      const judge = (reading: OfflineRequestReading) =>
        reading.kind === 'broken' ? verdictOf('invalid_request', reading.reason) : validator.judge(reading.request);
      await runBatch(values.batch, judge, io);
    } else io.stdout(`${format(await validator.judge(checkedRequest(single)), values.json)}\n`);
    return 0;
  },
};

async function singleRequest(values: Values): Promise<object> {
  const described = describedRequest(values);
  return {
    ...described,
    bodyBase64: values.body === undefined ? undefined : await readBody('--body', values.body),
    messages: await readMessages('--message', values.message),
    response: await describedResponse(values),
  };
}

async function describedResponse(values: Values): Promise<object | undefined> {
  const { 'response-status': status, 'response-header': header, 'response-body': body } = values;
  const messages = values['response-message'];
  if (status === undefined) {
    if ((header ?? body ?? messages) === undefined) return undefined;
    throw new UsageError('--response-status CODE is missing');
  }
  return {
    status: Number(status),
    headers: parseHeaders(header),
    bodyBase64: body === undefined ? undefined : await readBody('--response-body', body),
    messages: await readMessages('--response-message', messages),
  };
}

async function readMessages(option: string, files: readonly string[] | undefined): Promise<string[] | undefined> {
  return files && (await Promise.all(files.map((file) => readBody(option, file))));
}

async function readBody(option: string, file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    // A longer body is refused by any policy; nothing is learnt from reading more of it.
    if (size > MAX_BODY_BYTES + 1) throw new Error(`${size} bytes exceed the limit of ${MAX_BODY_BYTES}`);
    return (await readFile(file)).toString('base64');
  } catch (error) {
    throw new UsageError(`${option} ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function format(verdict: OfflineVerdict, isJson: boolean): string {
  if (isJson) return JSON.stringify(verdict);
  return `${verdict.verdict} ${verdict.code}: ${verdict.reason}`;
}
