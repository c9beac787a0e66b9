import type { DistributedResource } from '../resource/read-resource.ts';
import { compileDomains, NOBODY_REVOKED, type PeerTrust, trustedDomainsOf } from './peer-trust.ts';

type ResourceOf<T extends DistributedResource['type']> = Extract<DistributedResource, { readonly type: T }>['resource'];

/** Compiles trust once for as long as its two documents are the same, and the roots of it for as long as the bundle is. */
export class TrustMemory {
  #bundle: ResourceOf<'TrustBundle'> | undefined;
  #revocations: ResourceOf<'RevocationList'> | undefined;
  #compiled: ReturnType<typeof compileDomains> | undefined;
  #trust: PeerTrust | undefined;

  /** Undefined: there is no TrustBundle among them. Throws where a root cannot be read. */
  of(resources: readonly DistributedResource[]): PeerTrust | undefined {
    let bundle: ResourceOf<'TrustBundle'> | undefined;
    let revocations: ResourceOf<'RevocationList'> | undefined;
    for (const any of resources) {
      if (any.type === 'TrustBundle') bundle = any.resource;
      else if (any.type === 'RevocationList') revocations = any.resource;
    }
    if (bundle === undefined) return undefined;
    if (bundle === this.#bundle && revocations === this.#revocations) return this.#trust;
    const { spec } = bundle;
    const known = bundle === this.#bundle ? this.#compiled : undefined;
    const compiled = known ?? compileDomains(trustedDomainsOf(spec), spec.aliases);
    const trust = compiled(revocations?.spec ?? NOBODY_REVOKED);
    [this.#bundle, this.#revocations, this.#compiled, this.#trust] = [bundle, revocations, compiled, trust];
    return trust;
  }
}
