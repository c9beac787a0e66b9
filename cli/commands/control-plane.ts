import { parseArgs } from 'node:util';
import { type Command, UsageError } from '../command.ts';

const HELP = `Usage: lateral control-plane --config FILE

Distributes policies to the sidecars and signs their certificates.

Options:
  --config FILE   A ControlPlaneConfig; paths in it are relative to the file.

Prints one JSON line with "event":"ready" on stdout once it serves; events and the problems of policies go to
stderr. SIGTERM and SIGINT end it with exit code 0.

Example:
  lateral control-plane --config control-plane.yaml
`;

export const controlPlaneCommand: Command = {
  name: 'control-plane',
  summary: 'distributes policies and signs certificates',
  help: HELP,
  async run(args, io) {
    const file = configurationFile(args);
    const { runControlPlane } = await import('#control-plane/run-control-plane.ts');
    return runControlPlane(file, io);
  },
};

function configurationFile(args: readonly string[]): string {
  let config: string | undefined;
  try {
    config = parseArgs({ args: [...args], options: { config: { type: 'string' } } }).values.config;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (config === undefined || config === '') throw new UsageError('--config FILE is missing');
  return config;
}
