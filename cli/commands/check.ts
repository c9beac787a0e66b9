import type { AnalysisCode } from '#policy/analysis/analysis-code.ts';
import { compareProblems, formatProblem, type Problem } from '#policy/problem.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { Effect } from '../cluster/check-cluster.ts';
import { type Command, type CommandIo, UsageError } from '../command.ts';
import { loadManifests } from '../offline/load-manifests.ts';
import { MESH_HELP, MESH_OPTIONS, meshOf } from '../offline/mesh-options.ts';
import { parseOptions } from '../offline/parse-options.ts';

const OPTIONS = {
  json: { type: 'boolean', default: false },
  cluster: { type: 'boolean', default: false },
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
  namespace: { type: 'string', short: 'n' },
  ...MESH_OPTIONS,
  'trust-domain': { type: 'string' }, // without a default: a cluster's control plane knows its own
} as const;

/** Warnings wherever policies are put in force. */
const ERRORS_TO_CHECK: ReadonlySet<string> = new Set(['http_field_on_tcp_port'] satisfies AnalysisCode[]);

export const checkCommand: Command = {
  name: 'check',
  summary: 'analyses policy files, or the resources of a cluster',
  help: `Usage: lateral check PATH… [OPTIONS]
       lateral check --cluster [-n NAMESPACE] [OPTIONS]
       lateral check PATH… --cluster [OPTIONS]

Reads the resources below all paths (*.yaml, *.yml; folders with what is in them) as one set and
prints what is wrong or doubtful, one line each:

  FILE:LINE:COLUMN: SEVERITY CODE MESSAGE

Errors keep a set from being put in force; warnings do not. Exit code 1 on any error. One error does not:
http_field_on_tcp_port, which Istio passes over in silence. docs/policy-checks.md explains what is said of
authorization policies, with examples.

Manifests of Kubernetes may stand beside. Pods, Deployments and whatever else makes pods is judged by the
code of the injector, as in a namespace of the mesh (its label is not asked for); ConfigMaps serve the
configMapRefs of APISchemas; other objects of Kubernetes are passed over, and counted on standard error.
In the policy folder of a control plane or a standalone sidecar all these are errors.

With --cluster the resources, Services and Pods of the cluster are read, by the code of the control
plane and with your rights; trust domain, cluster domain and meshDefaults are those of its control plane,
or standard error says what is assumed. Without PATH its resources are checked; FILE is then
KIND/NAMESPACE/NAME, and LINE:COLUMN those of \`kubectl get -o yaml\`. With PATH it tells what would be
said if the files were applied: of them, and newly of what is there; and how many pods each would bind.
Nothing is written. Of other groups only workloads are looked at, and ConfigMaps that APISchemas name.

  --json                  one JSON object: {"problems": [{"file", "line", "column", "severity",
                          "code", "message"}], "errors": N, "warnings": N}; with --cluster also
                          "effects": [{"resource", "change", "pods", "meshed"}]
  --cluster               against the cluster of the kubeconfig
  --kubeconfig FILE       default KUBECONFIG, then ~/.kube/config
  --context NAME          a context of it (default: the current one)
  -n, --namespace NAME    only the resources of this namespace
${MESH_HELP}

Examples:
  lateral check examples/shop/policies
  lateral check examples/shop/kubernetes
  lateral check --cluster -n shop
  lateral check new-policy.yaml --cluster
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    if (values.cluster) return checkAgainstCluster(positionals, values, io);
    const { kubeconfig, context, namespace } = values;
    if ((kubeconfig ?? context ?? namespace) !== undefined) {
      throw new UsageError('--kubeconfig, --context and --namespace go with --cluster');
    }
    if (positionals.length === 0) throw new UsageError('name a file or folder to check, or --cluster');
    const { problems, files, sourced, workloads, passedOver } = await loadManifests(positionals, givenMesh(values));
    if (passedOver.size > 0) io.stderr(`${passedOverLine(passedOver)}\n`);
    return report(problems, {}, whereOf(files, sourced.length, workloads), values.json, io);
  },
};

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];

async function checkAgainstCluster(paths: readonly string[], values: Values, io: CommandIo): Promise<number> {
  const { kubeconfig, context, namespace, json } = values;
  if (paths.length > 0 && namespace !== undefined) throw new UsageError('--namespace goes without PATH');
  const { readCluster } = await import('../cluster/read-cluster.ts');
  const { checkCluster, checkManifests } = await import('../cluster/check-cluster.ts');
  const { readManifests } = await import('../cluster/manifest-objects.ts');
  const mesh = givenMesh(values);
  const given = { trustDomain: values['trust-domain'], rootNamespace: mesh.rootNamespace };
  const manifests = await readManifests(paths, mesh);
  const cluster = await readCluster({ kubeconfig, context }, given, process.env);
  try {
    if (cluster.assumption !== undefined) io.stderr(`${cluster.assumption}\n`);
    if (paths.length === 0) {
      const { problems } = checkCluster(cluster, namespace);
      const where = namespace === undefined ? 'the cluster' : `namespace ${namespace}`;
      return report(problems, { effects: [] }, where, json, io);
    }
    const { problems, effects } = await checkManifests(cluster, manifests);
    if (!json) for (const effect of effects) io.stderr(`${effectLine(effect)}\n`);
    const others = manifests.others.filter((object) => !manifests.configMaps.isUsed(object)).length;
    if (others > 0) io.stderr(`${plural(others, 'object')} of other groups left out\n`);
    const where = whereOf(manifests.files, manifests.objects.length, manifests.workloads);
    return report([...manifests.problems, ...problems].sort(compareProblems), { effects }, where, json, io);
  } finally {
    await cluster.close();
  }
}

function givenMesh(values: Values): Mesh {
  return meshOf({ ...values, 'trust-domain': values['trust-domain'] ?? MESH_OPTIONS['trust-domain'].default });
}

function whereOf(files: number, resources: number, workloads: number): string {
  const pods = workloads === 0 ? '' : `, ${plural(workloads, 'workload')}`;
  return `${plural(files, 'file')} (${plural(resources, 'resource')}${pods})`;
}

/** E.g. `passed over 3 objects of Kubernetes: 1 Namespace, 2 Service`. */
function passedOverLine(kinds: ReadonlyMap<string, number>): string {
  const sorted = [...kinds].sort(([left], [right]) => (left < right ? -1 : 1));
  const total = sorted.reduce((sum, [, number]) => sum + number, 0);
  const shown = sorted.map(([kind, number]) => `${number} ${kind}`).join(', ');
  return `passed over ${plural(total, 'object')} of Kubernetes: ${shown}`;
}

function effectLine({ resource, change, pods, meshed }: Effect): string {
  if (pods === null || meshed === null) return `${resource}: ${change}`;
  const unguarded = pods === meshed ? '' : `, of which ${pods - meshed} without a sidecar: nothing guards them`;
  return `${resource}: ${change}; binds ${plural(pods, 'pod')}${unguarded}`;
}

/** Prints what was found, in either form; the exit code. */
function report(found: readonly Problem[], more: object, where: string, isJson: boolean, io: CommandIo): number {
  const problems = found.map(asChecked);
  const errors = count(problems, 'error');
  const warnings = count(problems, 'warning');
  if (isJson) {
    io.stdout(`${JSON.stringify({ problems, errors, warnings, ...more })}\n`);
    return errors > 0 ? 1 : 0;
  }
  for (const problem of problems) io.stdout(`${formatProblem(problem)}\n`);
  const summary =
    errors + warnings === 0 ? 'no problems' : `${plural(errors, 'error')}, ${plural(warnings, 'warning')}`;
  io.stderr(`${summary} in ${where}\n`);
  return errors > 0 ? 1 : 0;
}

/** What is put in force as Istio has it, and is a mistake all the same. */
function asChecked(problem: Problem): Problem {
  return ERRORS_TO_CHECK.has(problem.code) ? { ...problem, severity: 'error' } : problem;
}

function count(problems: readonly Problem[], severity: Problem['severity']): number {
  return problems.filter((problem) => problem.severity === severity).length;
}

function plural(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
