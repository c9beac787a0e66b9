import { join } from 'node:path';
import { type InjectionSettings, randomKey } from '#control-plane/injection/injection-configuration.ts';
import { readBoundedFile } from '#files/read-bounded-file.ts';
import { formatProblem } from '#policy/problem.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import packageDescription from '../../package.json' with { type: 'json' };
import { type Command, type CommandIo, UsageError } from '../command.ts';
import { defaultInjection } from '../offline/default-injection.ts';
import { type FoundPod, injectText } from '../offline/inject-text.ts';
import { meshOf } from '../offline/mesh-options.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { readStandardInput } from '../offline/read-standard-input.ts';

/** Larger files are refused. */
const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;
const MAX_CERTIFICATE_BYTES = 256 * 1024;
const DEFAULT_TRUST_DOMAIN = 'cluster.local';
const DEFAULT_ROOT_NAMESPACE = 'lateral-system';

const OPTIONS = {
  file: { type: 'string', short: 'f', multiple: true },
  config: { type: 'string' },
  'root-cert': { type: 'string' },
  image: { type: 'string' },
  namespace: { type: 'string', short: 'n', default: 'default' },
  'kubernetes-version': { type: 'string', default: '1.29' },
  'trust-domain': { type: 'string' },
  'root-namespace': { type: 'string' },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];

export const injectCommand: Command = {
  name: 'inject',
  summary: 'prints manifests with the sidecar added, as the webhook would add it, offline',
  help: `Usage: lateral inject -f FILE… --root-cert FILE (--image IMAGE | --config FILE) [OPTIONS]

Prints the manifests of all files (YAML or JSON) with their pods made part of the mesh: those of Pod, Deployment,
ReplicaSet, StatefulSet, DaemonSet, Job, CronJob, ReplicationController and of Lists. All else is printed as it is,
byte for byte. It is what the webhook does to the pods of a labelled namespace, by the same code; the label
is not asked for here. Pods that opt out (lateral.dev/inject: "false"), use hostNetwork or have the sidecar
already, and those of kube-system and of the control plane's namespace stay as they are. What happened to which pod goes
to standard error. Nothing is printed, and the exit code is 1, if any pod must be refused.

  -f, --file FILE         manifests; - reads standard input; may be repeated
  --root-cert FILE        what sidecars trust their control plane by; default with --config and an authority in a
                          directory: its root-cert.pem
  --config FILE           the ControlPlaneConfig with its section injection: image, resources, telemetry, …
  --image IMAGE           image of the sidecar; goes before that of --config
  -n, --namespace NAME    namespace of manifests that name none (default default)
  --kubernetes-version V  of the cluster; below 1.29 it has no native sidecars (default 1.29)
  --trust-domain NAME     trust domain of the mesh (default: of --config, else ${DEFAULT_TRUST_DOMAIN})
  --root-namespace NAME   the control plane's namespace (default: of --config, else ${DEFAULT_ROOT_NAMESPACE})

Example, with what a cluster is configured with:
  kubectl get configmap lateral-control-plane -n lateral-system -o jsonpath='{.data.control-plane\\.yaml}' > mesh.yaml
  kubectl get secret lateral-ca -n lateral-system -o jsonpath='{.data.root-cert\\.pem}' | base64 -d > root-cert.pem
  lateral inject -f shop.yaml --config mesh.yaml --root-cert root-cert.pem | kubectl apply -f -
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}; files are named by -f`);
    const files = values.file ?? [];
    if (files.length === 0) throw new UsageError('-f FILE is missing');
    const settings = await settingsOf(values, io);
    if (settings === undefined) return 1;
    let output = '';
    let hasErrors = false;
    for (const file of files) {
      const { text, found, errors } = injectText(await read(file), values.namespace, settings);
      for (const { line, message } of errors) io.stderr(`${file}:${line}:1: error yaml_syntax ${message}\n`);
      for (const pod of found) report(file, pod, io);
      hasErrors ||= errors.length > 0 || found.some(({ injection }) => injection.kind === 'refused');
      output = joined(output, text);
    }
    if (hasErrors) return 1;
    io.stdout(output);
    return 0;
  },
};

function report(file: string, { name, line, injection }: FoundPod, io: CommandIo): void {
  const say = (severity: string, message: string) => io.stderr(`${file}:${line}:1: ${severity} ${name}: ${message}\n`);
  if (injection.kind === 'refused')
    for (const complaint of injection.complaints) say('error injection_refused', complaint);
  else for (const warning of injection.warnings) say('warning injection', warning);
  if (injection.kind === 'injected') say('note injected', 'the sidecar was added');
  if (injection.kind === 'skipped') say('note skipped', injection.reason);
}

/** Two files are two documents: with a separator where neither has one. */
function joined(before: string, after: string): string {
  if (before === '' || after === '') return before + after;
  const ended = before.endsWith('\n') ? before : `${before}\n`;
  return /^---(\s|$)/.test(after) ? ended + after : `${ended}---\n${after}`;
}

async function settingsOf(values: Values, io: CommandIo): Promise<InjectionSettings | undefined> {
  const given = await configured(values, io);
  if (given === 'broken') return undefined;
  const mesh = meshOf({
    'trust-domain': values['trust-domain'] ?? given?.mesh.trustDomain ?? DEFAULT_TRUST_DOMAIN,
    'root-namespace': values['root-namespace'] ?? given?.mesh.rootNamespace ?? DEFAULT_ROOT_NAMESPACE,
  });
  const rootFile = values['root-cert'] ?? given?.rootFile;
  if (rootFile === undefined) throw new UsageError('--root-cert FILE is missing');
  return {
    configuration: given?.injection ?? imageOnly(values.image),
    mesh,
    rootCertificatesPem: await readCertificates(rootFile),
    version: packageDescription.version,
    kubernetesVersion: values['kubernetes-version'],
    newKey: randomKey,
  };
}

interface Configured {
  readonly mesh: Mesh;
  readonly injection: InjectionSettings['configuration'];
  readonly rootFile: string | undefined;
}

/** What --config says; `broken` after its problems were printed. */
async function configured({ config, image }: Values, io: CommandIo): Promise<Configured | 'broken' | undefined> {
  if (config === undefined) return undefined;
  const { readControlPlaneConfiguration } = await import('#control-plane/configuration.ts');
  const { configuration, problems } = await readControlPlaneConfiguration(config);
  for (const problem of problems) io.stderr(`${formatProblem(problem)}\n`);
  if (configuration === undefined) return 'broken';
  const { mesh, injection, authority } = configuration;
  return {
    mesh,
    injection: injection === undefined ? imageOnly(image) : { ...injection, ...(image === undefined ? {} : { image }) },
    rootFile: authority.kind === 'directory' ? join(authority.directory, 'root-cert.pem') : undefined,
  };
}

/** All else by default. */
function imageOnly(image: string | undefined): InjectionSettings['configuration'] {
  if (image === undefined) throw new UsageError('--image IMAGE is missing (or --config FILE with a section injection)');
  return defaultInjection(image);
}

async function readCertificates(path: string): Promise<string> {
  const file = await readBoundedFile(path, MAX_CERTIFICATE_BYTES);
  if (file === undefined) throw new Error(`${path}: no such file; --root-cert names the root certificates of the mesh`);
  if (certificatesFromPem(file.text).length === 0) throw new Error(`${path}: holds no certificate in PEM`);
  return file.text;
}

async function read(file: string): Promise<string> {
  if (file === '-') return readStandardInput(MAX_MANIFEST_BYTES);
  const found = await readBoundedFile(file, MAX_MANIFEST_BYTES);
  if (found === undefined) throw new Error(`${file}: no such file`);
  return found.text;
}
