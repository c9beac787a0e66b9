import { targetedServices } from '#policy/resource/kinds/attachment.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { firstNames, type ProgrammedCount } from '../../replicas/programmed-counts.ts';
import type { WorkloadCount } from '../cluster/cluster-pods.ts';
import type { ClusterState } from '../cluster/cluster-state.ts';
import { attachedOf } from '../resources/judge-object.ts';
import type { JudgedResource } from '../resources/mesh-resources.ts';

/** Longest message of a condition; Kubernetes allows 32,768 characters. */
const MAX_MESSAGE_LENGTH = 4_096;
/** Problems that one message lists. */
const MAX_LISTED_PROBLEMS = 20;
/** What a sidecar says of a refusal is for operators: any pod could write there what others read. */
const WHERE_WHY = 'see `lateral proxies` or the log of the control plane for why.';

/** What `conditionsOf` speaks of. */
export const CONDITION_TYPES: readonly string[] = ['Accepted', 'Programmed', 'MatchedWorkloads'];

/** A condition as Kubernetes writes it, without the time of its last change. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** What there is to say of a resource; undefined: nothing yet, since it is not judged. */
export function conditionsOf(
  judged: JudgedResource,
  counts: readonly ProgrammedCount[],
  workloads: WorkloadCount | undefined,
  rootNamespace: string,
  silentReplicas = 0,
): readonly Condition[] | undefined {
  const { problems, object } = judged;
  if (problems === undefined) return undefined;
  const { generation: observedGeneration } = object.metadata;
  const facts = [
    accepted(judged),
    programmed(judged, counts, silentReplicas),
    matchedWorkloads(judged, workloads, rootNamespace),
  ];
  return facts.flatMap((fact) =>
    fact === undefined ? [] : [{ ...fact, message: cut(fact.message), observedGeneration }],
  );
}

type Fact = Omit<Condition, 'observedGeneration'>;

function accepted({ problems = [], good, inForce }: JudgedResource): Fact {
  const type = 'Accepted';
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) {
    const doubts = problems.length === 0 ? 'The resource is in force.' : `In force, with doubts: ${listed(problems)}`;
    return { type, status: 'True', reason: 'Accepted', message: doubts };
  }
  const codes = new Set(errors.map(({ code }) => code));
  const kept =
    inForce === undefined
      ? 'It is not in force.'
      : good === undefined
        ? `Until it is mended ${standInOf(inForce)}.`
        : 'Its last good form stays in force.';
  return { type, status: 'False', reason: reasonOf(codes), message: `${kept} ${listed(errors)}` };
}

/** What stands in for an object that never was good: see refuse-everything.ts. */
function standInOf({ key, document }: ResourceDocument): string {
  if (key.startsWith('PeerAuthentication/')) return 'its workloads take mutual TLS alone';
  if (key.startsWith('RequestAuthentication/')) return 'its workloads accept no tokens but by other resources';
  const { spec }: { readonly spec?: { readonly action?: unknown } } = JSON.parse(document);
  return spec?.action === 'ALLOW' ? 'it allows nothing' : 'its workloads refuse everything';
}

/** The first that one of the codes is of; all others are Invalid. */
const REASONS: readonly { readonly reason: string; readonly codes: readonly string[] }[] = [
  { reason: 'NotSupported', codes: ['not_implemented'] },
  { reason: 'ReferenceNotFound', codes: ['missing_config_map', 'unknown_reference'] },
  { reason: 'Conflicted', codes: ['duplicate_resource', 'duplicate_host', 'foreign_host', 'duplicate_operation'] },
];

function reasonOf(found: ReadonlySet<string>): string {
  return REASONS.find(({ codes }) => codes.some((code) => found.has(code)))?.reason ?? 'Invalid';
}

function listed(problems: readonly { line: number; column: number; code: string; message: string }[]): string {
  const lines = problems
    .slice(0, MAX_LISTED_PROBLEMS)
    .map(({ line, column, code, message }) => `${line}:${column}: ${code} ${message}`);
  const more = problems.length - lines.length;
  return lines.join('; ') + (more > 0 ? `; and ${more} more` : '');
}

function programmed({ inForce }: JudgedResource, counts: readonly ProgrammedCount[], silentReplicas: number): Fact {
  const type = 'Programmed';
  if (inForce === undefined) {
    return { type, status: 'False', reason: 'NotAccepted', message: 'No form of it is in force.' };
  }
  const bound = sum(counts.map((count) => count.bound));
  // A replica that has another version yet has sidecars that wait for this one.
  const current = counts.filter(({ version }) => version === inForce.version);
  const acked = sum(current.map((count) => count.acked));
  const nacked = sum(current.map((count) => count.nacked));
  const message = `${acked} of ${bound} sidecars have it in force, ${nacked} refused it.`;
  if (nacked > 0) {
    const names = firstNames(current.flatMap((count) => count.refusedBy));
    const others = nacked > names.length && names.length > 0 ? ` and ${nacked - names.length} more` : '';
    return {
      type,
      status: 'False',
      reason: 'Refused',
      message: `${message} ${names.join(', ')}${others}: ${WHERE_WHY}`,
    };
  }
  if (acked < bound) return { type, status: 'False', reason: 'Pending', message };
  if (silentReplicas > 0) {
    const silence = `${message} Nothing is known of the sidecars of ${silentReplicas} more control planes.`;
    return { type, status: 'Unknown', reason: 'ReplicaSilent', message: silence };
  }
  if (bound === 0)
    return { type, status: 'Unknown', reason: 'NoSidecar', message: 'No sidecar is connected that needs it.' };
  return { type, status: 'True', reason: 'Programmed', message };
}

/** Undefined for what binds no workloads: by its kind, or since it never was good. */
export function workloadsOf(
  { good }: JudgedResource,
  state: Pick<ClusterState, 'boundPods'>,
): WorkloadCount | undefined {
  const policy = good === undefined ? undefined : attachedOf(good);
  return policy === undefined ? undefined : state.boundPods(policy);
}

function matchedWorkloads(
  { good, object }: JudgedResource,
  workloads: WorkloadCount | undefined,
  rootNamespace: string,
): Fact | undefined {
  if (workloads === undefined) return undefined;
  const type = 'MatchedWorkloads';
  const { namespace } = object.metadata;
  const { pods, meshed } = workloads;
  const policy = good === undefined ? undefined : attachedOf(good);
  const targets = policy === undefined ? [] : targetedServices(policy);
  const where = namespace === rootNamespace && targets.length === 0 ? 'of the mesh' : `of namespace ${namespace}`;
  const match = targets.length === 0 ? 'match the selector' : `are of the Services targeted (${targets.join(', ')})`;
  if (meshed > 0) return { type, status: 'True', reason: 'Matched', message: `${meshed} Pods ${where} are bound.` };
  const message =
    pods === 0
      ? `No Pod ${where} ${targets.length === 0 ? 'matches the selector' : `is of the Services targeted (${targets.join(', ')})`}.`
      : `${pods} Pods ${where} ${match}, and none of them has a sidecar to enforce it.`;
  return { type, status: 'False', reason: 'NoWorkload', message };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function cut(message: string): string {
  return message.length > MAX_MESSAGE_LENGTH ? `${message.slice(0, MAX_MESSAGE_LENGTH - 1)}…` : message;
}
