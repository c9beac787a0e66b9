import { RuleTallies } from '#policy/authorization/rule-tallies.ts';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { Refusal } from '#policy/error/refusal.ts';
import type { Snapshot } from '#policy/resource-set.ts';
import { DocumentMemory } from '#policy/snapshot/document-memory.ts';
import type { GenerateValidators } from '#policy/validation/generate-validators.ts';
import type { Mesh, Workload, WorkloadPolicy } from '#policy/workload-policy.ts';
import { TokenVerification } from '../authentication/token-verification.ts';
import type { SidecarConfiguration } from '../configuration/sidecar-configuration.ts';
import type { Gauge } from '../telemetry/metrics.ts';
import { compileInSlices } from './compile-in-slices.ts';
import type { PolicyTarget, PreparedPolicy } from './policy-target.ts';
import { SettledModes } from './settled-modes.ts';

/**
 * The law of the workload that is configured. Where its policies come from they are chosen: by a control plane, in Kubernetes by the
 * Pod's labels, which may be others by now than those of the configuration; without one by those. `stateDirectory` is absolute.
 */
export function policyInForceOf(configuration: SidecarConfiguration, generate: GenerateValidators): PolicyInForce {
  const { workload, trustDomain, rootNamespace, stateDirectory } = configuration;
  const tokens = new TokenVerification(stateDirectory);
  return new PolicyInForce(workload, { trustDomain, rootNamespace }, generate, tokens);
}

/** The one place of a thread that holds the law in force. Exchanges take it at their beginning and keep it. */
export class PolicyInForce implements PolicyTarget {
  readonly #workload: Omit<Workload, 'labels'>;
  readonly #mesh: Mesh;
  readonly #generate: GenerateValidators;
  readonly #memory: DocumentMemory;
  readonly #tokens: TokenVerification;
  /** How often each rule matched, in this thread. */
  readonly tallies = new RuleTallies();
  readonly #listeners: (() => void)[] = [];
  readonly #modes = new SettledModes(() => performance.now());
  #policy: WorkloadPolicy | undefined;

  constructor(
    workload: Omit<Workload, 'labels'>,
    mesh: Mesh,
    generate: GenerateValidators,
    tokens = new TokenVerification(undefined),
  ) {
    this.#workload = workload;
    this.#mesh = mesh;
    this.#generate = generate;
    this.#memory = new DocumentMemory(mesh);
    this.#tokens = tokens;
  }

  /** Throws the Refusal `no_policy` before the first snapshot is in force. */
  get current(): WorkloadPolicy {
    if (this.#policy === undefined) throw new Refusal('no_policy', 'no policy is in force yet');
    return this.#policy;
  }

  /** Undefined before the first snapshot is in force. */
  get inForce(): WorkloadPolicy | undefined {
    return this.#policy;
  }

  /** Calls back each time that a snapshot has come in force, before an exchange is decided by it. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Rejects with SnapshotError where the snapshot cannot be read or compiled. */
  async prepare(snapshot: Snapshot): Promise<PreparedPolicy> {
    const policy = await compileWorkloadPolicy(
      snapshot,
      this.#workload,
      this.#mesh,
      this.#generate,
      this.#memory,
      this.#tokens.open,
      this.tallies,
      compileInSlices,
    );
    return {
      defaults: policy.defaults,
      commit: () => {
        this.#policy = { ...policy, mtlsMode: this.#modes.replace(policy.mtlsMode) };
        this.tallies.putInForce([...(policy.external?.rules ?? []), ...policy.authorizer.rules]);
        this.#tokens.inForce(policy.authentication);
        for (const listener of this.#listeners) listener();
      },
    };
  }

  /** Of the keys of issuers. */
  get gauges(): readonly Gauge[] {
    return this.#tokens.gauges;
  }

  /** Nothing is asked of issuers any more. */
  close(): void {
    this.#tokens.close();
  }
}
