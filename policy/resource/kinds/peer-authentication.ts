import {
  choice,
  type Infer,
  map,
  object,
  optional,
  type Path,
  type ReadContext,
  refined,
} from '../../schema/schema.ts';
import type { ResourceKind } from '../kind.ts';
import { portComplaint } from './value-complaints.ts';
import { workloadSelector } from './workload-selector.ts';

const mutualTls = object({
  mode: optional(choice(['STRICT', 'UNSET'], { planned: ['PERMISSIVE', 'DISABLE'], description: 'Mutual TLS mode.' })),
});

const peerAuthenticationSpec = object({
  selector: optional(workloadSelector),
  mtls: optional(mutualTls),
  portLevelMtls: optional(refined(map(mutualTls, 'Modes by port of the app.'), checkPorts)),
});

export type PeerAuthenticationSpec = Infer<typeof peerAuthenticationSpec>;

/** Every sidecar is STRICT in this version, so that the modes accepted here change nothing. */
export const peerAuthenticationKind: ResourceKind<PeerAuthenticationSpec> = {
  kind: 'PeerAuthentication',
  plural: 'peerauthentications',
  apiVersions: ['security.istio.io/v1', 'security.istio.io/v1beta1', 'lateral.dev/v1alpha1'],
  spec: peerAuthenticationSpec,
  description: 'Says how callers must prove themselves to the workloads it binds.',
  check({ spec }, _mesh, context) {
    const hasLabels = Object.keys(spec.selector?.matchLabels ?? {}).length > 0;
    if (spec.portLevelMtls !== undefined && !hasLabels) {
      context.fail(['spec', 'portLevelMtls'], 'invalid_value', 'portLevelMtls needs a selector with labels', 'key');
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
