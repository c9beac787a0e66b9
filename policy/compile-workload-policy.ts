import type { TokenJudge, TokenVerifier } from './authentication/judge-tokens.ts';
import { referredClaims } from './authentication/referred-claims.ts';
import type { OwnDomains } from './authorization/all-names-of.ts';
import { compilingAuthorizer } from './authorization/compile-authorizer.ts';
import { compilingExternal } from './authorization/compile-external.ts';
import { compileProviders } from './authorization/provider.ts';
import { referredHeaders } from './authorization/referred-headers.ts';
import { RuleTallies } from './authorization/rule-tallies.ts';
import { conditionsOf } from './condition/conditions-of.ts';
import { compileServices } from './mesh/compile-services.ts';
import { compileMtlsModes } from './mtls/compile-mtls-modes.ts';
import type { Resource } from './resource/kind.ts';
import type { ApiSchemaSpec } from './resource/kinds/api-schema.ts';
import type { ApiValidationPolicySpec } from './resource/kinds/api-validation-policy.ts';
import { attaches } from './resource/kinds/attachment.ts';
import { effectiveDefaults } from './resource/kinds/mesh-defaults.ts';
import type { DistributedResource } from './resource/read-resource.ts';
import type { Snapshot } from './resource-set.ts';
import { DocumentMemory } from './snapshot/document-memory.ts';
import { SnapshotError } from './snapshot/snapshot-error.ts';
import { finish } from './steps/finish.ts';
import type { TakeSteps } from './steps/take-in-slices.ts';
import type { GenerateValidators } from './validation/generate-validators.ts';
import type { BoundWorkload, Mesh, RequestValidation, Workload, WorkloadPolicy } from './workload-policy.ts';

/** Made only once tokens are to be judged. */
export type OpenVerifier = () => Promise<TokenVerifier>;

/** The law for one workload, and what of it could not be compiled as it was meant. */
export interface CompiledWorkloadPolicy extends WorkloadPolicy {
  /**
   * One line a fault of an API description (the operations concerned refuse every request), or a policy that another
   * keeps from being in force.
   */
  readonly problems: readonly string[];
}

/**
 * Compiles the snapshot of a workload: whoever gave it has chosen the policies, so that all of them bind. Throws `SnapshotError` where a document cannot be read, or the API
 * descriptions of a validation policy cannot be put together: what was in force must then stay. `memory`: what was read of the
 * snapshots before. `openVerifier` is asked where a policy wants tokens judged; absent: nobody judges any (offline).
 * `tallies` count the matches of rules over all versions. `take`: how what takes long is done; default: at once.
 */
export async function compileWorkloadPolicy(
  snapshot: Snapshot,
  given: Omit<Workload, 'labels'>,
  mesh: Mesh,
  generate: GenerateValidators,
  memory = new DocumentMemory(mesh),
  openVerifier?: OpenVerifier,
  tallies = new RuleTallies(),
  take: TakeSteps = async (steps) => finish(steps),
): Promise<CompiledWorkloadPolicy> {
  const read = await take(memory.reading(snapshot.resources));
  const resources = read.map(({ any }) => any);
  const defaultsSpec = resources.find((any) => any.type === 'MeshDefaults')?.resource.spec;
  const defaults = effectiveDefaults(defaultsSpec);
  const providers = compileProviders(defaultsSpec?.extensionProviders);
  const authorization = resources.flatMap((any) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []));
  const peerAuthentication = resources.flatMap((any) => (any.type === 'PeerAuthentication' ? [any.resource] : []));
  const services = resources.flatMap((any) => (any.type === 'MeshService' ? [any.resource] : []));
  const workload = { ...given, labels: undefined };
  const mtls = compileMtlsModes(peerAuthentication, workload, mesh, defaults.mtlsMode);
  const policies = resources.flatMap((any) => (any.type === 'APIValidationPolicy' ? [any.resource] : []));
  const binding = policies.filter((policy) => attaches(policy, workload, mesh.rootNamespace));
  const schemas = resources.flatMap((any) => (any.type === 'APISchema' ? [any.resource] : []));
  const { validation, problems } = await compileBound(binding, schemas, generate, take);
  const conditions = await conditionsOf(authorization);
  const own = ownDomainsOf(resources, mesh);
  return {
    version: snapshot.version,
    defaults,
    trust: memory.trustOf(resources),
    authorizer: await take(compilingAuthorizer(authorization, workload, mesh, defaults, own, conditions, tallies)),
    external: await take(
      compilingExternal(authorization, workload, mesh, providers, own, conditions, defaults.pathNormalization, tallies),
    ),
    mtlsMode: mtls.mtlsMode,
    authentication: await compileTokens(resources, workload, mesh, openVerifier),
    validation,
    services: compileServices(services, workload, mesh),
    referredHeaders: referredHeaders(authorization, conditions.values()),
    referredClaims: referredClaims(authorization, conditions.values()),
    problems: [...problems, ...mtls.problems],
  };
}

function ownDomainsOf(resources: readonly DistributedResource[], mesh: Mesh): OwnDomains {
  const bundle = resources.find((any) => any.type === 'TrustBundle')?.resource.spec;
  if (bundle === undefined) return { names: [mesh.trustDomain] };
  const [own = mesh.trustDomain, ...others] = bundle.domains.map(({ trustDomain }) => trustDomain);
  return { names: [own, ...bundle.aliases], isClusterLocalForeign: others.includes('cluster.local') };
}

async function compileTokens(
  resources: readonly DistributedResource[],
  workload: BoundWorkload,
  mesh: Mesh,
  openVerifier: OpenVerifier | undefined,
): Promise<TokenJudge | undefined> {
  const policies = resources.flatMap((any) => (any.type === 'RequestAuthentication' ? [any.resource] : []));
  if (policies.length === 0 || openVerifier === undefined) return undefined;
  const { boundTokenRules, compileAuthentication } = await import('./authentication/compile-authentication.ts');
  const rules = boundTokenRules(policies, workload, mesh);
  return rules.length === 0 ? undefined : compileAuthentication(rules, await openVerifier());
}

async function compileBound(
  policies: readonly Resource<ApiValidationPolicySpec>[],
  schemas: readonly Resource<ApiSchemaSpec>[],
  generate: GenerateValidators,
  take: TakeSteps,
): Promise<{ readonly validation: RequestValidation | undefined; readonly problems: readonly string[] }> {
  if (policies.length === 0) return { validation: undefined, problems: [] };
  // Loaded only where it is needed: a workload without validation starts without the schema compiler.
  const { compileValidation } = await import('./validation/compile-validation.ts');
  const compiled = await compileValidation({ policies, schemas, generate, take });
  // A policy binds the workload and nothing came of it: to go on would be to let all through unvalidated.
  if (compiled.validation === undefined) throw new SnapshotError(compiled.problems);
  return compiled;
}
