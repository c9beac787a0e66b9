import { parseArgs } from 'node:util';
import type { ControlPlaneConfiguration } from '#control-plane/configuration.ts';
import { type Command, type CommandIo, UsageError } from '../command.ts';
import { durationMs } from '../duration.ts';

const HELP = `Usage: lateral token --config FILE --namespace N --service-account S [--ttl 1h] [--reusable]
       lateral token --config FILE --operator [--read-only] [--ttl 1h]
       lateral token --config FILE --list [--json]
       lateral token --config FILE --revoke ID

Prints a join token: with it a sidecar outside Kubernetes gets its first certificate. The token is bound to one
identity, good for one use unless --reusable, and expires. With --operator, a token for \`lateral proxies\`,
\`tap\`, \`explain\` and \`ca\`: until it expires its holder sees the mesh and may change its authority; it is good for no
certificate.

Options:
  --config FILE          The ControlPlaneConfig of the control plane that shall take the token.
  --namespace N          Namespace of the workload.
  --service-account S    Service account of the workload.
  --operator             A token for operators; in place of --namespace and --service-account.
  --read-only            With --operator: for looking on alone; it changes neither the root nor revocations (\`lateral ca\`).
  --ttl DURATION         How long it is good: a number and s, m, h or d; 1s to 30d; default 1h.
  --reusable             Good for any number of uses until it expires. A sidecar without stateDirectory needs one,
                         or a new token at each start. An operator's token always is.
  --list                 Shows the tokens that have not expired: whose, until when, uses left, when used. Never a secret.
  --json                 With --list: one JSON array.
  --revoke ID            The token of that ID (or the token itself) is good for nothing from now on. Certificates that
                         it was exchanged for stay good: revoke the identity where they must not.

Examples:
  lateral token --config control-plane.yaml --namespace shop --service-account orders > token
  lateral token --config control-plane.yaml --operator --ttl 8h > operator.token
  lateral token --config control-plane.yaml --list
  lateral token --config control-plane.yaml --revoke "$(cat token)"
`;

export const tokenCommand: Command = {
  name: 'token',
  summary: 'prints a token: for a sidecar outside Kubernetes to join with, or for an operator; lists and revokes them',
  help: HELP,
  async run(args, io) {
    const { config, task } = optionsOf(args);
    const { readControlPlaneConfiguration } = await import('#control-plane/configuration.ts');
    const { formatProblem } = await import('#policy/problem.ts');
    const { TokenRefused } = await import('#control-plane/tokens/issue-token.ts');
    const { configuration, problems } = await readControlPlaneConfiguration(config);
    for (const problem of problems) io.stderr(`${formatProblem(problem)}\n`);
    if (configuration === undefined) return 1;
    try {
      if (task.kind === 'list') await list(configuration, task, io);
      else if (task.kind === 'revoke') await revoke(configuration, task, io);
      else await issue(configuration, task, io);
      return 0;
    } catch (error) {
      if (error instanceof TokenRefused) throw new UsageError(error.message);
      throw error;
    }
  },
};

interface IssueTask {
  readonly kind: 'issue';
  readonly ttlMs: number | undefined;
  /** Undefined: a token for operators. */
  readonly workload:
    | { readonly namespace: string; readonly serviceAccount: string; readonly isReusable: boolean }
    | undefined;
  readonly mayChangeAuthority: boolean;
}

interface ListTask {
  readonly kind: 'list';
  readonly isJson: boolean;
}

interface RevokeTask {
  readonly kind: 'revoke';
  readonly idOrToken: string;
}

async function issue(
  configuration: ControlPlaneConfiguration,
  { workload, ttlMs, mayChangeAuthority }: IssueTask,
  io: CommandIo,
): Promise<void> {
  const { issueJoinToken, issueOperatorToken } = await import('#control-plane/tokens/issue-token.ts');
  const token =
    workload === undefined
      ? await issueOperatorToken(configuration, ttlMs, mayChangeAuthority)
      : await issueJoinToken(configuration, { ...workload, ttlMs });
  io.stdout(`${token}\n`);
}

async function list(configuration: ControlPlaneConfiguration, { isJson }: ListTask, io: CommandIo): Promise<void> {
  const { listTokens } = await import('#control-plane/tokens/manage-tokens.ts');
  const { factsOf, tokenTable } = await import('./show-tokens.ts');
  const tokens = await listTokens(configuration);
  if (isJson) io.stdout(`${JSON.stringify(tokens.map(factsOf))}\n`);
  else if (tokens.length > 0) io.stdout(tokenTable(tokens));
  else io.stderr('no token that has not expired\n');
}

async function revoke(
  configuration: ControlPlaneConfiguration,
  { idOrToken }: RevokeTask,
  io: CommandIo,
): Promise<void> {
  const { revokeToken } = await import('#control-plane/tokens/manage-tokens.ts');
  io.stderr(`token ${await revokeToken(configuration, idOrToken)} is revoked\n`);
}

function optionsOf(args: readonly string[]): {
  readonly config: string;
  readonly task: IssueTask | ListTask | RevokeTask;
} {
  const { config, list, revoke, json, ...issuing } = parsed(args);
  if (config === undefined) throw new UsageError('--config FILE is missing');
  const isIssuing = Object.values(issuing).some((given) => given !== undefined);
  if ((list === true || revoke !== undefined) && (isIssuing || (list === true && revoke !== undefined))) {
    throw new UsageError('--list and --revoke take no other option than --config (and --list takes --json)');
  }
  if (json === true && list !== true) throw new UsageError('--json is for --list');
  if (list === true) return { config, task: { kind: 'list', isJson: json === true } };
  if (revoke !== undefined) return { config, task: { kind: 'revoke', idOrToken: revoke } };
  return { config, task: issueTaskOf(issuing) };
}

function issueTaskOf({
  namespace,
  'service-account': serviceAccount,
  ttl,
  reusable,
  operator,
  'read-only': readOnly,
}: Omit<ReturnType<typeof parsed>, 'config' | 'list' | 'revoke' | 'json'>): IssueTask {
  const ttlMs = ttl === undefined ? undefined : durationMs('--ttl', ttl);
  if (operator === true) {
    if (namespace !== undefined || serviceAccount !== undefined || reusable === true) {
      throw new UsageError('--operator takes none of --namespace, --service-account, --reusable; leave them out');
    }
    return { kind: 'issue', ttlMs, workload: undefined, mayChangeAuthority: readOnly !== true };
  }
  if (readOnly === true) throw new UsageError('--read-only belongs to --operator');
  if (namespace === undefined) throw new UsageError('--namespace N is missing');
  if (serviceAccount === undefined) throw new UsageError('--service-account S is missing');
  return {
    kind: 'issue',
    ttlMs,
    workload: { namespace, serviceAccount, isReusable: reusable === true },
    mayChangeAuthority: false,
  };
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
        'read-only': { type: 'boolean' },
        list: { type: 'boolean' },
        json: { type: 'boolean' },
        revoke: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
