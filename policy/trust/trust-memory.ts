import type { DistributedResource } from '../resource/read-resource.ts';
import { compileTrust, NOBODY_REVOKED, type PeerTrust, trustedDomainsOf } from './peer-trust.ts';

type ResourceOf<T extends DistributedResource['type']> = Extract<DistributedResource, { readonly type: T }>['resource'];

/** Compiles trust once for as long as its two documents are the same. */
export class TrustMemory {
  #bundle: ResourceOf<'TrustBundle'> | undefined;
  #revocations: ResourceOf<'RevocationList'> | undefined;
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
    const { aliases } = bundle.spec;
    const trust = compileTrust(trustedDomainsOf(bundle.spec), aliases, revocations?.spec ?? NOBODY_REVOKED);
    [this.#bundle, this.#revocations, this.#trust] = [bundle, revocations, trust];
    return trust;
  }
}
