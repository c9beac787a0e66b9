import type { Problem } from '../problem.ts';
import type { Resource } from '../resource/kind.ts';
import { isForSidecars } from '../resource/kinds/attachment.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import type { Path } from '../schema/schema.ts';
import type { Mesh } from '../workload-policy.ts';
import { doubt } from './analysis-code.ts';
import type { KnownWorkloads } from './known-workloads.ts';

type Policy = Resource<AuthorizationPolicySpec>;

/** A caller that a rule names, where it names it. */
interface NamedCaller {
  readonly value: string;
  readonly path: Path;
}

/** The service accounts, as NAMESPACE/NAME, that a resource names: all of those that are must be among the known ones. */
export function namedAccounts({ any }: SourcedResource): readonly string[] {
  if (any.type !== 'AuthorizationPolicy') return [];
  const policy = any.resource;
  const ofPrincipals = namedCallers(policy, PRINCIPAL_FIELDS).flatMap(({ value }) => {
    const [, , namespace, serviceAccount] = PRINCIPAL.exec(value) ?? [];
    return namespace === undefined ? [] : [`${namespace}/${serviceAccount}`];
  });
  return [...ofPrincipals, ...namedCallers(policy, ACCOUNT_FIELDS).map(({ value }) => accountOf(value, policy))];
}

/** Exact principals and service accounts that are not known; by endpoints alone those of a namespace without any are not either. */
export function unknownCallers(
  sourced: SourcedResource,
  policy: Policy,
  workloads: KnownWorkloads,
  mesh: Mesh,
): readonly Problem[] {
  if (!isForSidecars(policy)) return [];
  const principals = namedCallers(policy, PRINCIPAL_FIELDS).flatMap(({ value, path }) => {
    const complaint = principalDoubt(value, workloads, mesh);
    return complaint === undefined ? [] : [doubt(sourced, path, 'unknown_principal', complaint)];
  });
  const accounts = namedCallers(policy, ACCOUNT_FIELDS).flatMap(({ value, path }) => {
    const complaint = accountDoubt(accountOf(value, policy), workloads);
    return complaint === undefined ? [] : [doubt(sourced, path, 'unknown_service_account', complaint)];
  });
  return [...principals, ...accounts];
}

/** Where callers stand in a rule: the fields of `source`, and the key of `when`. */
interface CallerFields {
  readonly ofSource: readonly ['principals' | 'serviceAccounts', 'notPrincipals' | 'notServiceAccounts'];
  readonly key: string;
}

const PRINCIPAL_FIELDS: CallerFields = { ofSource: ['principals', 'notPrincipals'], key: 'source.principal' };
const ACCOUNT_FIELDS: CallerFields = {
  ofSource: ['serviceAccounts', 'notServiceAccounts'],
  key: 'source.serviceAccount',
};

function namedCallers({ spec }: Policy, { ofSource, key }: CallerFields): readonly NamedCaller[] {
  const callers: NamedCaller[] = [];
  const add = (values: readonly string[] | undefined, path: Path) => {
    for (const [index, value] of (values ?? []).entries()) callers.push({ value, path: [...path, index] });
  };
  for (const [rule, { from, when }] of (spec.rules ?? []).entries()) {
    const root = ['spec', 'rules', rule];
    for (const [index, { source }] of (from ?? []).entries()) {
      for (const field of ofSource) add(source[field], [...root, 'from', index, 'source', field]);
    }
    for (const [index, condition] of (when ?? []).entries()) {
      if (condition.key !== key) continue;
      for (const field of ['values', 'notValues'] as const) add(condition[field], [...root, 'when', index, field]);
    }
  }
  return callers;
}

const PRINCIPAL = /^([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/;

function principalDoubt(principal: string, workloads: KnownWorkloads, mesh: Mesh): string | undefined {
  if (principal.includes('*')) return undefined;
  const [, trustDomain, namespace, serviceAccount] = PRINCIPAL.exec(principal) ?? [];
  if (trustDomain === undefined || namespace === undefined) {
    return `no identity of the mesh is ${principal}; the form is ${mesh.trustDomain}/ns/NAMESPACE/sa/SERVICEACCOUNT`;
  }
  if (mesh.otherDomains?.includes(trustDomain) === true) return undefined;
  if (trustDomain !== mesh.trustDomain && trustDomain !== 'cluster.local') {
    return `${principal} is of the trust domain ${trustDomain}; that of the mesh is ${mesh.trustDomain}, and it is nobody's unless the mesh federates with the other or has it for an alias`;
  }
  return accountDoubt(`${namespace}/${serviceAccount}`, workloads);
}

/** `account`: NAMESPACE/NAME. */
function accountDoubt(account: string, { accounts, byNamespace, knownAccounts }: KnownWorkloads): string | undefined {
  const [namespace = '', name] = account.split('/');
  if (knownAccounts !== undefined) {
    return knownAccounts.has(account) ? undefined : `there is no service account ${name} in namespace ${namespace}`;
  }
  if (!byNamespace.has(namespace) || accounts.has(account)) return undefined;
  return `no endpoint of namespace ${namespace} has the service account ${name} (expected where that workload only calls others)`;
}

/** NAME is one of the policy's own namespace. */
function accountOf(value: string, { namespace }: Policy): string {
  return value.includes('/') ? value : `${namespace}/${value}`;
}
