import { canonicalJson } from '../resource/canonical-json.ts';
import type { Resource } from '../resource/kind.ts';
import type { PeerAuthenticationSpec } from '../resource/kinds/peer-authentication.ts';
import type { Mesh, MtlsMode } from '../workload-policy.ts';
import { compileMtlsModes, type MtlsModes } from './compile-mtls-modes.ts';

type Labels = { readonly [key: string]: string };

/** The mutual TLS modes of the workloads of one namespace. */
export interface NamespaceModes {
  /** Equal texts: the same modes for the same labels. */
  readonly key: string;
  modesOf(labels: Labels): MtlsModes;
}

/** What the PeerAuthentications of a whole mesh say about the endpoints of its services. */
export class EndpointModes {
  readonly #byNamespace: ReadonlyMap<string, readonly Resource<PeerAuthenticationSpec>[]>;
  readonly #mesh: Mesh;
  readonly #meshDefault: MtlsMode;
  readonly #found = new Map<string, NamespaceModes | undefined>();

  constructor(policies: readonly Resource<PeerAuthenticationSpec>[], mesh: Mesh, meshDefault: MtlsMode) {
    this.#byNamespace = Map.groupBy(policies, ({ namespace }) => namespace);
    this.#mesh = mesh;
    this.#meshDefault = meshDefault;
  }

  /** Undefined: nothing in this namespace can be DISABLE, so that nobody need look. */
  ofNamespace(namespace: string): NamespaceModes | undefined {
    if (!this.#found.has(namespace)) this.#found.set(namespace, this.#compile(namespace));
    return this.#found.get(namespace);
  }

  #compile(namespace: string): NamespaceModes | undefined {
    const namespaces = new Set([this.#mesh.rootNamespace, namespace]);
    const policies = [...namespaces].flatMap((one) => this.#byNamespace.get(one) ?? []);
    if (this.#meshDefault !== 'DISABLE' && !policies.some(saysDisable)) return undefined;
    // Pods have labels of their own (their name, say), of which selectors ask for few.
    const asked = [...new Set(policies.flatMap(({ spec }) => Object.keys(spec.selector?.matchLabels ?? {})))];
    const byLabels = new Map<string, MtlsModes>();
    const modesOf = (labels: Labels) => {
      const text = JSON.stringify(asked.map((key) => labels[key] ?? null));
      const modes =
        byLabels.get(text) ?? compileMtlsModes(policies, { namespace, labels }, this.#mesh, this.#meshDefault);
      byLabels.set(text, modes);
      return modes;
    };
    const said = policies.map(({ namespace: of, name, spec }) => ({ of, name, spec })).sort(compareNames);
    return { key: canonicalJson({ default: this.#meshDefault, said }), modesOf };
  }
}

function saysDisable({ spec }: Resource<PeerAuthenticationSpec>): boolean {
  const all = [spec.mtls, ...Object.values(spec.portLevelMtls ?? {})];
  return all.some((one) => one?.mode === 'DISABLE');
}

type Named = { readonly of: string; readonly name: string };

function compareNames(left: Named, right: Named): number {
  return `${left.of}/${left.name}` < `${right.of}/${right.name}` ? -1 : 1;
}
