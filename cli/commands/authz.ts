import { type Command, UsageError } from '../command.ts';
import { createOfflineAuthorizer, type OfflineDecision, refused } from '../offline/authorize-offline.ts';
import { loadSoundPolicies } from '../offline/load-policies.ts';
import { ALIAS_HELP, ALIAS_OPTIONS, aliasesOf, MESH_HELP, meshOf } from '../offline/mesh-options.ts';
import { DEFAULT_PORT, type OfflineRequestReading } from '../offline/offline-request.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { checkedRequest, describedRequest, REQUEST_OPTIONS } from '../offline/request-options.ts';
import { runBatch } from '../offline/run-batch.ts';

const OPTIONS = {
  ...REQUEST_OPTIONS,
  'source-ip': { type: 'string' },
  'remote-ip': { type: 'string' },
  'destination-ip': { type: 'string' },
  sni: { type: 'string' },
  ...ALIAS_OPTIONS,
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];

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
  --remote-ip ADDRESS     the client's, behind proxies; without it, as the sidecar finds it
  --destination-ip ADDRESS
                          the address that is called
  --sni NAME              the name that the caller asked for in its TLS handshake
  --claims JSON           the claims of a token, as if it had been verified
  --batch FILE            one JSON request a line (- reads standard input), one JSON decision a
                          line out, in order
  --json                  one JSON object in place of text
${MESH_HELP}
${ALIAS_HELP}

Where a CUSTOM policy has a provider asked, the decision is "custom", and the reason names it: nobody
is asked here.

Tokens are not read here: --claims, and \`claims\` of a batch line, say what one would hold.

Example:
  lateral authz --policies examples/shop/policies --to shop/orders --label app=orders \\
    --from spiffe://cluster.local/ns/shop/sa/web --request 'GET /orders/1'
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    if (values.policies === undefined) throw new UsageError('--policies PATH is missing');
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
      aliasesOf(values),
    );
    if (values.batch !== undefined) {
      const decide = (reading: OfflineRequestReading) =>
        reading.kind === 'broken' ? refused('invalid_request', reading.reason) : authorizer.decide(reading.request);
      await runBatch(values.batch, decide, io);
    } else io.stdout(`${format(authorizer.decide(checkedRequest(single)), values.json)}\n`);
    return 0;
  },
};

function singleRequest(values: Values): object {
  return {
    ...describedRequest(values),
    sourceIp: values['source-ip'],
    remoteIp: values['remote-ip'],
    destinationIp: values['destination-ip'],
    sni: values.sni,
    claims: claimsOf(values.claims),
  };
}

function claimsOf(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`--claims is not JSON: ${text}`);
  }
}

function format(decision: OfflineDecision, isJson: boolean): string {
  if (isJson) return JSON.stringify(decision);
  return `${decision.decision} ${decision.code}: ${decision.reason}`;
}
