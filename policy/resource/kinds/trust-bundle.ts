import { trustDomainComplaint } from '../../identity/spiffe-id.ts';
import { defaulted, type Infer, list, object, required, string } from '../../schema/schema.ts';
import type { ResourceKind } from '../kind.ts';

/** Trust domains of one bundle: the own and those it federates with. */
export const MAX_TRUST_DOMAINS = 65;
/** Names under which the own trust domain was known, or will be. */
export const MAX_TRUST_DOMAIN_ALIASES = 16;
/** Roots of one trust domain: in a rotation two, in one that is taken back and begun anew a few more. */
export const MAX_ROOTS_OF_DOMAIN = 100;
const MAX_ROOT_LENGTH = 16 * 1024;

export const trustDomainName = string({
  description: 'A trust domain, as in spiffe://TRUST-DOMAIN/….',
  check: (value) => {
    const complaint = trustDomainComplaint(value);
    return complaint === undefined ? undefined : `${JSON.stringify(value)} ${complaint}`;
  },
});

const trustBundleSpec = object({
  domains: required(
    list(
      object({
        trustDomain: required(trustDomainName),
        roots: required(
          list(string({ maxLength: MAX_ROOT_LENGTH, description: 'A root certificate; PEM.' }), {
            maxItems: MAX_ROOTS_OF_DOMAIN,
          }),
        ),
      }),
      { minItems: 1, maxItems: MAX_TRUST_DOMAINS },
    ),
  ),
  aliases: defaulted(list(trustDomainName, { maxItems: MAX_TRUST_DOMAIN_ALIASES }), []),
});

export type TrustBundleSpec = Infer<typeof trustBundleSpec>;

/** Whom a mesh trusts: the roots of each trust domain, the own first. The control plane makes it; people do not. */
export const trustBundleKind: ResourceKind<TrustBundleSpec> = {
  kind: 'TrustBundle',
  plural: 'trustbundles',
  apiVersions: ['lateral.dev/v1alpha1'],
  spec: trustBundleSpec,
  description: 'The roots of each trust domain that the mesh trusts.',
};
