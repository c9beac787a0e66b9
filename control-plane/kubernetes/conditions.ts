import { isDeepStrictEqual } from 'node:util';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { firstNames, type ProgrammedCount } from '../replicas/programmed-counts.ts';
import type { ClusterPods } from './cluster-pods.ts';
import { NO_SELECTOR, selectorOf } from './judge-object.ts';
import type { JudgedResource } from './mesh-resources.ts';

/** Longest message of a condition; Kubernetes allows 32,768 characters. */
const MAX_MESSAGE_LENGTH = 4_096;
/** Problems that one message lists. */
const MAX_LISTED_PROBLEMS = 20;
/** What a sidecar says of a refusal is for operators: any pod could write there what others read. */
const WHERE_WHY = 'see `lateral proxies` or the log of the control plane for why.';

/** A condition as Kubernetes writes it, without the time of its last change. */
export interface Condition {
  readonly type: 'Accepted' | 'Programmed' | 'MatchedWorkloads';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** What there is to say of a resource; undefined: nothing yet, since it is not judged. */
export function conditionsOf(
  judged: JudgedResource,
  counts: readonly ProgrammedCount[],
  pods: ClusterPods,
  rootNamespace: string,
): readonly Condition[] | undefined {
  const { problems, object } = judged;
  if (problems === undefined) return undefined;
  const { generation: observedGeneration } = object.metadata;
  const facts = [accepted(judged), programmed(judged, counts), matchedWorkloads(judged, pods, rootNamespace)];
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
  const { spec }: { readonly spec?: { readonly action?: unknown } } = JSON.parse(document);
  return spec?.action === 'ALLOW' ? 'it allows nothing' : 'its workloads refuse everything';
}

function reasonOf(codes: ReadonlySet<string>): string {
  if (codes.has('not_implemented')) return 'NotSupported';
  if (codes.has('missing_config_map') || codes.has('unknown_reference')) return 'ReferenceNotFound';
  if (codes.has('duplicate_resource') || codes.has('duplicate_host')) return 'Conflicted';
  return 'Invalid';
}

function listed(problems: readonly { line: number; column: number; code: string; message: string }[]): string {
  const lines = problems
    .slice(0, MAX_LISTED_PROBLEMS)
    .map(({ line, column, code, message }) => `${line}:${column}: ${code} ${message}`);
  const more = problems.length - lines.length;
  return lines.join('; ') + (more > 0 ? `; and ${more} more` : '');
}

function programmed({ inForce }: JudgedResource, counts: readonly ProgrammedCount[]): Fact {
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
  if (bound === 0)
    return { type, status: 'Unknown', reason: 'NoSidecar', message: 'No sidecar is connected that needs it.' };
  if (acked < bound) return { type, status: 'False', reason: 'Pending', message };
  return { type, status: 'True', reason: 'Programmed', message };
}

/** Undefined for kinds that bind no workloads. */
function matchedWorkloads(
  { good, object }: JudgedResource,
  pods: ClusterPods,
  rootNamespace: string,
): Fact | undefined {
  if (good === undefined) return undefined;
  const selector = selectorOf(good);
  if (selector === NO_SELECTOR) return undefined;
  const type = 'MatchedWorkloads';
  const { namespace } = object.metadata;
  const { pods: count, meshed } = pods.count(namespace, selector, rootNamespace);
  const where = namespace === rootNamespace ? 'of the mesh' : `of namespace ${namespace}`;
  if (meshed > 0) return { type, status: 'True', reason: 'Matched', message: `${meshed} Pods ${where} are bound.` };
  const message =
    count === 0
      ? `No Pod ${where} matches the selector.`
      : `${count} Pods ${where} match the selector, and none of them has a sidecar to enforce it.`;
  return { type, status: 'False', reason: 'NoWorkload', message };
}

/**
 * The conditions to write in place of those that stand there; undefined: they say the same already. The time of the last
 * change is that of the last other `status`, and conditions of others stay.
 */
export function mergedConditions(
  standing: readonly unknown[],
  wanted: readonly Condition[],
  nowIso: string,
): readonly unknown[] | undefined {
  const types = new Set(['Accepted', 'Programmed', 'MatchedWorkloads']);
  const others = standing.filter((one) => !isRecord(one) || typeof one.type !== 'string' || !types.has(one.type));
  const merged = wanted.map((condition) => {
    const before = standing.find((one) => isRecord(one) && one.type === condition.type);
    const isSame = isRecord(before) && before.status === condition.status;
    return { ...condition, lastTransitionTime: isSame ? before.lastTransitionTime : nowIso };
  });
  const all = [...others, ...merged];
  return isDeepStrictEqual(sorted(all), sorted(standing)) ? undefined : all;
}

function sorted(conditions: readonly unknown[]): readonly unknown[] {
  const typeOf = (one: unknown) => (isRecord(one) ? String(one.type) : '');
  return [...conditions].sort((left, right) => (typeOf(left) < typeOf(right) ? -1 : 1));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function cut(message: string): string {
  return message.length > MAX_MESSAGE_LENGTH ? `${message.slice(0, MAX_MESSAGE_LENGTH - 1)}…` : message;
}
