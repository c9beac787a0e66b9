import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { readCompactConfiguration } from '#policy/configuration/read-compact-configuration.ts';
import { formatProblem } from '#policy/problem.ts';
import { type SidecarConfiguration, sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { type Command, type CommandIo, UsageError } from '../command.ts';
import { untilToldToStop } from '../until-told-to-stop.ts';
import { HOOK_OPTIONS, runHook } from './sidecar-hooks.ts';

const help = `Usage: lateral sidecar --config FILE

Runs the proxy beside one workload. It prints one JSON line with "event":"ready" when it serves, its access
log on stdout (or where telemetry.accessLog says), and what operators should know on stderr.

  --config FILE   SidecarConfig (docs/configuration.md); paths in it are relative to the file. env:NAME reads it
                  from the environment variable NAME; paths are then relative to /

In a pod's container hooks, beside the sidecar that runs there (Kubernetes without native sidecars):

  --wait-ready    ends once the sidecar serves, so that the containers behind it start after it
  --linger N      ends after N seconds, so that the app can end before the sidecar does

SIGTERM or SIGINT: it stops accepting, lets requests under way end (5 s at most), exits 0.

Example, without a control plane:

  apiVersion: lateral.dev/v1alpha1
  kind: SidecarConfig
  workload: {name: orders-1, namespace: shop, serviceAccount: orders, labels: {app: orders}}
  trustDomain: cluster.local
  standalone: {policies: ./policies, certificate: orders.pem, privateKey: orders.key, trustBundle: ca.pem}
  inbound: [{port: 15006, app: "127.0.0.1:8080"}]
  outbound: {port: 15001}
`;

export const sidecarCommand: Command = {
  name: 'sidecar',
  summary: 'the proxy beside one workload',
  help,
  async run(args: readonly string[], io: CommandIo): Promise<number> {
    const { values } = parseArgs({ args: [...args], options: { config: { type: 'string' }, ...HOOK_OPTIONS } });
    if (await runHook(values)) return 0;
    if (values.config === undefined) throw new UsageError('--config FILE is missing');
    const { text, folder } = await read(values.config);
    const value =
      readCompactConfiguration(text, KIND, sidecarConfigurationSchema) ?? (await readYaml(values.config, text, io));
    if (value === undefined) return 1;
    const { runSidecar } = await import('#sidecar/run-sidecar.ts');
    const told = untilToldToStop();
    const starting = runSidecar(value, folder, told.stop);
    const first = await Promise.race([starting, told.promise]);
    if (first === undefined) return 0; // told to stop before it served
    io.stdout(`${JSON.stringify(first.ready)}\n`);
    await told.promise;
    await first.stop();
    return 0;
  },
};

const KIND = 'SidecarConfig';
const FROM_ENVIRONMENT = 'env:';

/** Undefined where the text has errors; they, and warnings, go to stderr. */
async function readYaml(path: string, text: string, io: CommandIo): Promise<SidecarConfiguration | undefined> {
  const { readConfiguration } = await import('#policy/configuration/read-configuration.ts');
  const { value, problems } = readConfiguration({ path, text }, KIND, sidecarConfigurationSchema);
  for (const problem of problems) io.stderr(`${formatProblem(problem)}\n`);
  return value;
}

/** The text of the configuration, and the folder that paths in it are relative to. */
async function read(given: string): Promise<{ readonly text: string; readonly folder: string }> {
  if (!given.startsWith(FROM_ENVIRONMENT)) {
    const text = await readFile(given, 'utf8').catch((error: Error) => {
      throw new Error(`cannot read ${given}: ${error.message}`);
    });
    return { text, folder: dirname(resolve(given)) };
  }
  const name = given.slice(FROM_ENVIRONMENT.length);
  const text = process.env[name];
  if (text === undefined) throw new Error(`the environment has no variable ${name}; --config env:NAME reads one`);
  return { text, folder: '/' };
}
