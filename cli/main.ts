import { type Command, type CommandIo, UsageError } from './command.ts';

/** Each command by name; loaded when it is called, so that a sidecar loads nothing of the others. */
const COMMANDS: { readonly [name: string]: { readonly summary: string; readonly load: () => Promise<Command> } } = {
  'control-plane': {
    summary: 'policy distribution and certificate authority',
    load: async () => (await import('./commands/control-plane.ts')).controlPlaneCommand,
  },
  sidecar: {
    summary: 'the proxy beside one workload',
    load: async () => (await import('./commands/sidecar.ts')).sidecarCommand,
  },
  init: {
    summary: 'leads the traffic of a pod to its sidecar (init container)',
    load: async () => (await import('./commands/init.ts')).initCommand,
  },
  token: {
    summary: 'prints a token: for a sidecar outside Kubernetes to join with, or for an operator',
    load: async () => (await import('./commands/token.ts')).tokenCommand,
  },
  check: {
    summary: 'analyses policy files, or the resources of a cluster',
    load: async () => (await import('./commands/check.ts')).checkCommand,
  },
  authz: {
    summary: 'the authorization decision for a request, with its reason, offline',
    load: async () => (await import('./commands/authz.ts')).authzCommand,
  },
  proxies: {
    summary: 'the sidecars that are connected, and whether they have the policies of now',
    load: async () => (await import('./commands/proxies.ts')).proxiesCommand,
  },
  rules: {
    summary: 'how often each rule of the authorization policies matched, and which never did',
    load: async () => (await import('./commands/rules.ts')).rulesCommand,
  },
  ca: {
    summary: 'the certificate authority: its roots, a change of the root, revocations',
    load: async () => (await import('./commands/ca.ts')).caCommand,
  },
  explain: {
    summary: 'why a request was refused: policy, rule, reason, and what to do',
    load: async () => (await import('./commands/explain.ts')).explainCommand,
  },
  tap: {
    summary: 'requests as they end, live',
    load: async () => (await import('./commands/tap.ts')).tapCommand,
  },
  replay: {
    summary: 'what changed policies would have decided of recorded traffic',
    load: async () => (await import('./commands/replay.ts')).replayCommand,
  },
  inject: {
    summary: 'prints manifests with the sidecar added, as the webhook would, offline',
    load: async () => (await import('./commands/inject.ts')).injectCommand,
  },
  validate: {
    summary: 'holds a request against its API description, offline',
    load: async () => (await import('./commands/validate.ts')).validateCommand,
  },
};

/** Commands of the contract that later versions bring. */
const PLANNED: ReadonlySet<string> = new Set(['inventory', 'suggest']);

function help(): string {
  const names = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(14)} ${summary}`);
  return `Usage: lateral COMMAND [OPTIONS]

Lateral guards the calls between services: mutual TLS, authorization and request validation in one sidecar.

${names.join('\n')}

  lateral COMMAND --help   what a command does, its options, an example
  lateral --version

To see it work: npm run demo. To learn more: README.md, docs/.
`;
}

/** Runs `lateral ARGS…`; resolves to the exit code: 0 done, 1 found or failed, 2 wrong usage. */
export async function main(args: readonly string[], io: CommandIo, version: string): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    io.stdout(help());
    return name === undefined ? 2 : 0;
  }
  if (name === '--version') {
    io.stdout(`${version}\n`);
    return 0;
  }
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined) {
    const why = PLANNED.has(name) ? `${name} is not in this version` : `unknown command ${JSON.stringify(name)}`;
    io.stderr(`lateral: ${why}; see lateral --help\n`);
    return 2;
  }
  const command = await entry.load();
  if (rest.includes('--help') || rest.includes('-h')) {
    io.stdout(command.help);
    return 0;
  }
  try {
    return await command.run(rest, io);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (isUsageError(error)) {
      io.stderr(`lateral ${name}: ${message.split('\n', 1)[0]}; see lateral ${name} --help\n`);
      return 2;
    }
    io.stderr(`lateral ${name}: ${message}\n`);
    return 1;
  }
}

/** Ours, or node:util parseArgs'. */
function isUsageError(error: unknown): boolean {
  if (error instanceof UsageError) return true;
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_');
}
