import type { ApiValidationPolicySpec } from '../../resource/kinds/api-validation-policy.ts';

/** Services of gRPC's own. Sources: grpc/health/v1/health.proto, grpc/reflection/v1/reflection.proto. */
const SERVICES: { readonly [name in ApiValidationPolicySpec['grpc']['exempt'][number]]: readonly string[] } = {
  Health: ['/grpc.health.v1.Health/'],
  Reflection: ['/grpc.reflection.v1.ServerReflection/', '/grpc.reflection.v1alpha.ServerReflection/'],
};

/** Which methods a policy lets callers call. */
export class CallableMethods {
  readonly #patterns: readonly string[] | undefined;
  readonly #unused: Set<string>;
  readonly #exempt: readonly string[];
  readonly #withheld = new Set<string>();

  constructor({ methods, exempt }: ApiValidationPolicySpec['grpc']) {
    this.#patterns = methods;
    this.#unused = new Set(methods);
    this.#exempt = exempt.flatMap((name) => SERVICES[name]);
  }

  /** True where a method of a descriptor set, by its path, may be called. */
  takes(path: string): boolean {
    if (this.#patterns === undefined) return true;
    const matching = this.#patterns.filter((pattern) => isMethodMatch(pattern, path));
    for (const pattern of matching) this.#unused.delete(pattern);
    if (matching.length === 0) this.#withheld.add(path);
    return matching.length > 0;
  }

  /** True: it is in a descriptor set, and left out of `grpc.methods`. */
  isWithheld(path: string): boolean {
    return this.#withheld.has(path);
  }

  /** True: it is not held against any description. What has more segments is of another service: its name ends at the last slash. */
  isExempt(path: string): boolean {
    return this.#exempt.some((prefix) => path.startsWith(prefix) && path.lastIndexOf('/') === prefix.length - 1);
  }

  /** What is listed and matches no method. */
  get unused(): readonly string[] {
    return [...this.#unused];
  }
}

/** True where an entry of `grpc.methods` is of the method at a path. */
export function isMethodMatch(pattern: string, path: string): boolean {
  const method = path.slice(1);
  return pattern.endsWith('/*') ? method.startsWith(pattern.slice(0, -1)) : method === pattern;
}
