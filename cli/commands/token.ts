import { parseArgs } from 'node:util';
import { type Command, type CommandIo, UsageError } from '../command.ts';
import { durationMs } from '../duration.ts';

const HELP = `Usage: lateral token --config FILE --namespace N --service-account S [--ttl 1h] [--reusable]
       lateral token --config FILE --operator [--ttl 1h]

Prints a join token: with it a sidecar outside Kubernetes gets its first certificate. The token is bound to one
identity, good for one use unless --reusable, and expires. With --operator, a token for \`lateral proxies\`,
\`tap\` and \`explain\`: it lets its holder see the mesh, until it expires, and is good for no certificate.

Options:
  --config FILE          The ControlPlaneConfig of the control plane that shall take the token.
  --namespace N          Namespace of the workload.
  --service-account S    Service account of the workload.
  --operator             A token for operators; in place of --namespace and --service-account.
  --ttl DURATION         How long it is good: a number and s, m, h or d; 1s to 30d; default 1h.
  --reusable             Good for any number of uses until it expires. A sidecar without stateDirectory needs one,
                         or a new token at each start. An operator's token always is.

Examples:
  lateral token --config control-plane.yaml --namespace shop --service-account orders > token
  lateral token --config control-plane.yaml --operator --ttl 8h > operator.token
`;

export const tokenCommand: Command = {
  name: 'token',
  summary: 'prints a token: for a sidecar outside Kubernetes to join with, or for an operator',
  help: HELP,
  async run(args, io) {
    return issue(optionsOf(args), io);
  },
};

interface TokenOptions {
  readonly config: string;
  readonly ttlMs: number | undefined;
  /** Undefined: a token for operators. */
  readonly workload:
    | { readonly namespace: string; readonly serviceAccount: string; readonly isReusable: boolean }
    | undefined;
}

async function issue({ config, workload, ttlMs }: TokenOptions, io: CommandIo): Promise<number> {
  const { readControlPlaneConfiguration } = await import('#control-plane/configuration.ts');
  const { formatProblem } = await import('#policy/problem.ts');
  const { issueJoinToken, issueOperatorToken, TokenRefused } = await import('#control-plane/tokens/issue-token.ts');
  const { configuration, problems } = await readControlPlaneConfiguration(config);
  for (const problem of problems) io.stderr(`${formatProblem(problem)}\n`);
  if (configuration === undefined) return 1;
  try {
    const token =
      workload === undefined
        ? await issueOperatorToken(configuration, ttlMs)
        : await issueJoinToken(configuration, { ...workload, ttlMs });
    io.stdout(`${token}\n`);
    return 0;
  } catch (error) {
    if (error instanceof TokenRefused) throw new UsageError(error.message);
    throw error;
  }
}

function optionsOf(args: readonly string[]): TokenOptions {
  const { config, namespace, 'service-account': serviceAccount, ttl, reusable, operator } = parsed(args);
  if (config === undefined) throw new UsageError('--config FILE is missing');
  const ttlMs = ttl === undefined ? undefined : durationMs('--ttl', ttl);
  if (operator === true) {
    if (namespace !== undefined || serviceAccount !== undefined || reusable === true) {
      throw new UsageError('--operator takes none of --namespace, --service-account, --reusable; leave them out');
    }
    return { config, ttlMs, workload: undefined };
  }
  if (namespace === undefined) throw new UsageError('--namespace N is missing');
  if (serviceAccount === undefined) throw new UsageError('--service-account S is missing');
  return { config, ttlMs, workload: { namespace, serviceAccount, isReusable: reusable === true } };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        config: { type: 'string' },
        namespace: { type: 'string' },
        'service-account': { type: 'string' },
        ttl: { type: 'string' },
        reusable: { type: 'boolean' },
        operator: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
