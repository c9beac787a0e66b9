import { parseArgs } from 'node:util';
import { type Command, type CommandIo, UsageError } from '../command.ts';

const HELP = `Usage: lateral token --config FILE --namespace N --service-account S [--ttl 1h] [--reusable]

Prints a join token: with it a sidecar outside Kubernetes gets its first certificate. The token is bound to one
identity, good for one use unless --reusable, and expires.

Options:
  --config FILE          The ControlPlaneConfig of the control plane that shall take the token.
  --namespace N          Namespace of the workload.
  --service-account S    Service account of the workload.
  --ttl DURATION         How long it is good: a number and s, m, h or d; 1s to 30d; default 1h.
  --reusable             Good for any number of uses until it expires. A sidecar without stateDirectory needs one,
                         or a new token at each start.

Example:
  lateral token --config control-plane.yaml --namespace shop --service-account orders > token
`;

const UNITS_MS: { readonly [unit: string]: number } = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export const tokenCommand: Command = {
  name: 'token',
  summary: 'prints a join token for a sidecar outside Kubernetes',
  help: HELP,
  async run(args, io) {
    return issue(optionsOf(args), io);
  },
};

interface TokenOptions {
  readonly config: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly ttl: string | undefined;
  readonly isReusable: boolean;
}

async function issue(options: TokenOptions, io: CommandIo): Promise<number> {
  const { readControlPlaneConfiguration } = await import('#control-plane/configuration.ts');
  const { formatProblem } = await import('#policy/problem.ts');
  const { issueJoinToken, TokenRefused } = await import('#control-plane/tokens/issue-join-token.ts');
  const { configuration, problems } = await readControlPlaneConfiguration(options.config);
  for (const problem of problems) io.stderr(`${formatProblem(problem)}\n`);
  if (configuration === undefined) return 1;
  try {
    const { namespace, serviceAccount, isReusable, ttl } = options;
    const ttlMs = ttl === undefined ? undefined : durationMs(ttl);
    io.stdout(`${await issueJoinToken(configuration, { namespace, serviceAccount, isReusable, ttlMs })}\n`);
    return 0;
  } catch (error) {
    if (error instanceof TokenRefused) throw new UsageError(error.message);
    throw error;
  }
}

function optionsOf(args: readonly string[]): TokenOptions {
  const values = parsed(args);
  if (values.operator === true) {
    throw new UsageError('--operator is not implemented in this version; the commands it is for come later');
  }
  const { config, namespace, 'service-account': serviceAccount, ttl, reusable } = values;
  if (config === undefined) throw new UsageError('--config FILE is missing');
  if (namespace === undefined) throw new UsageError('--namespace N is missing');
  if (serviceAccount === undefined) throw new UsageError('--service-account S is missing');
  return { config, namespace, serviceAccount, ttl, isReusable: reusable === true };
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

function durationMs(text: string): number {
  const [, amount, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const unitMs = UNITS_MS[unit];
  if (amount === undefined || unitMs === undefined) {
    throw new UsageError(`--ttl ${text} is not a duration; write a number and s, m, h or d, e.g. 1h`);
  }
  return Number(amount) * unitMs;
}
