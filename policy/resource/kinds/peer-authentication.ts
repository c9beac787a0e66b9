import {
  choice,
  type Infer,
  map,
  object,
  optional,
  type Path,
  type ReadContext,
  refined,
  withCel,
} from '../../schema/schema.ts';
import type { ResourceKind } from '../kind.ts';
import { portComplaint } from './value-complaints.ts';
import { hasLabels, workloadSelector } from './workload-selector.ts';

const mutualTls = object({
  mode: optional(
    choice(['STRICT', 'PERMISSIVE', 'DISABLE', 'UNSET'], {
      description:
        'STRICT: mutual TLS alone. PERMISSIVE: plaintext as well, whose callers have no identity. DISABLE: plaintext alone, and callers are told to use it. UNSET: as the level above says.',
    }),
  ),
});
export type MutualTlsMode = Infer<typeof mutualTls>;

const peerAuthenticationSpec = withCel(
  object({
    selector: optional(workloadSelector),
    mtls: optional(mutualTls),
    portLevelMtls: optional(refined(map(mutualTls, 'Modes by port of the app.'), checkPorts)),
  }),
  {
    rule: '!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0)',
    message: 'portLevelMtls needs a selector with labels',
  },
);

export type PeerAuthenticationSpec = Infer<typeof peerAuthenticationSpec>;

/** PeerAuthentication: mutual TLS, plaintext beside it, or plaintext alone. What the levels amount to: policy/mtls. */
export const peerAuthenticationKind: ResourceKind<PeerAuthenticationSpec> = {
  kind: 'PeerAuthentication',
  plural: 'peerauthentications',
  apiVersions: ['security.istio.io/v1', 'security.istio.io/v1beta1', 'lateral.dev/v1alpha1'],
  spec: peerAuthenticationSpec,
  description: 'Says how callers must prove themselves to the workloads it binds.',
  check({ namespace, spec }, mesh, context) {
    if (spec.portLevelMtls !== undefined && !hasLabels(spec.selector)) {
      context.fail(['spec', 'portLevelMtls'], 'invalid_value', 'portLevelMtls needs a selector with labels', 'key');
    }
    if (namespace === mesh.rootNamespace && hasLabels(spec.selector)) {
      const message = `with a selector in the root namespace ${namespace} it binds no workload, as in Istio: leave the selector out (mesh-wide), or move it to the namespace of the workload`;
      context.warn(['spec', 'selector'], 'invalid_value', message, 'key');
    }
  },
};

function checkPorts(ports: { readonly [port: string]: unknown }, path: Path, context: ReadContext): boolean {
  const names = Object.keys(ports);
  if (names.length === 0) context.fail(path, 'invalid_value', 'must not be empty');
  let isWhole = names.length > 0;
  for (const name of names) {
    const complaint = portComplaint(name);
    if (complaint === undefined) continue;
    context.fail([...path, name], 'invalid_value', complaint, 'key');
    isWhole = false;
  }
  return isWhole;
}
