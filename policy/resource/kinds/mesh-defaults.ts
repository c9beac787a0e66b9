import { choice, defaulted, described, type Infer, integer, object, optional } from '../../schema/schema.ts';
import type { EffectiveDefaults } from '../../workload-policy.ts';
import type { ResourceKind } from '../kind.ts';
import { extensionProviders } from './extension-provider.ts';

/** Times and paths that are remembered of each caller are as many. */
const MAX_ALERT_THRESHOLD = 1_000;
const DEFAULT_ALERT_THRESHOLD = 20;
/** More than anybody has one behind the other. */
const MAX_TRUSTED_PROXIES = 32;

const meshDefaultsSpec = object({
  authorization: optional(
    object({
      default: defaulted(
        choice(['Deny', 'Allow'], {
          description: 'Deny: nothing is allowed until a policy allows it. Allow: as Istio.',
        }),
        'Deny',
      ),
      denialAlerts: optional(
        object({
          refusals: defaulted(
            integer({
              minimum: 0,
              maximum: MAX_ALERT_THRESHOLD,
              description: 'Refusals of one caller within a minute that are still no attack; 0: no event.',
            }),
            DEFAULT_ALERT_THRESHOLD,
          ),
          distinctPaths: defaulted(
            integer({
              minimum: 0,
              maximum: MAX_ALERT_THRESHOLD,
              description: 'Different paths that one caller is refused within a minute; 0: no event.',
            }),
            DEFAULT_ALERT_THRESHOLD,
          ),
        }),
      ),
    }),
  ),
  mode: defaulted(
    choice(['Enforce', 'Audit'], {
      description:
        'Audit: nothing is refused by policy (authorization, tokens, validation); what would have been is recorded. Mutual TLS stays as it is.',
    }),
    'Enforce',
  ),
  mtls: optional(
    object({
      mode: defaulted(
        choice(['STRICT', 'PERMISSIVE', 'DISABLE'], {
          description:
            'Where no PeerAuthentication says otherwise. PERMISSIVE: plaintext as well. DISABLE: plaintext alone.',
        }),
        'STRICT',
      ),
      minProtocolVersion: defaulted(
        choice(['TLSV1_3', 'TLSV1_2'], {
          description:
            'The oldest TLS that is spoken with other workloads. TLSV1_2: with forward secrecy and authenticated encryption alone, for peers that know nothing newer.',
        }),
        'TLSV1_3',
      ),
    }),
  ),
  outbound: defaulted(
    choice(['RegistryOnly', 'AllowAny'], { description: 'What happens to hosts that the mesh does not know.' }),
    'RegistryOnly',
  ),
  pathNormalization: defaulted(
    choice(['Refuse', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'], {
      description: 'Refuse answers ambiguous paths with 400; the others are those of Istio.',
    }),
    'Refuse',
  ),
  numTrustedProxies: defaulted(
    integer({
      minimum: 0,
      maximum: MAX_TRUSTED_PROXIES,
      description:
        'Proxies between clients and a workload whose x-forwarded-for is believed, its gateway included: remote.ip is the address that the outermost of them saw. 0: remote.ip is the peer.',
    }),
    0,
  ),
  extensionProviders: optional(
    described(
      extensionProviders,
      'Whom AuthorizationPolicies of action CUSTOM may ask. Istio has them in its MeshConfig.',
    ),
  ),
});

export type MeshDefaultsSpec = Infer<typeof meshDefaultsSpec>;

export const meshDefaultsKind: ResourceKind<MeshDefaultsSpec> = {
  kind: 'MeshDefaults',
  plural: 'meshdefaults',
  apiVersions: ['lateral.dev/v1alpha1'],
  spec: meshDefaultsSpec,
  description: 'Defaults of the whole mesh; at most one, in the root namespace.',
  check({ namespace }, mesh, context) {
    if (namespace === mesh.rootNamespace) return;
    const message = `MeshDefaults must be in the root namespace ${mesh.rootNamespace}, not in ${namespace}`;
    context.fail(['metadata', 'namespace'], 'invalid_value', message);
  },
};

/** The defaults in force: those of the resource, or those of a mesh without one. */
export function effectiveDefaults(spec: MeshDefaultsSpec | undefined): EffectiveDefaults {
  return {
    authorizationDefault: spec?.authorization?.default ?? 'Deny',
    denialAlerts: {
      refusals: spec?.authorization?.denialAlerts?.refusals ?? DEFAULT_ALERT_THRESHOLD,
      distinctPaths: spec?.authorization?.denialAlerts?.distinctPaths ?? DEFAULT_ALERT_THRESHOLD,
    },
    mode: spec?.mode ?? 'Enforce',
    mtlsMode: spec?.mtls?.mode ?? 'STRICT',
    minTlsVersion: spec?.mtls?.minProtocolVersion === 'TLSV1_2' ? 'TLSv1.2' : 'TLSv1.3',
    outbound: spec?.outbound ?? 'RegistryOnly',
    pathNormalization: spec?.pathNormalization ?? 'Refuse',
    trustedProxies: spec?.numTrustedProxies ?? 0,
  };
}
