import { trustDomainComplaint } from '#policy/identity/spiffe-id.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { UsageError } from '../command.ts';

/** Options that say which mesh the resources are of, for `parseArgs`. */
export const MESH_OPTIONS = {
  'trust-domain': { type: 'string', default: 'cluster.local' },
  'root-namespace': { type: 'string', default: 'lateral-system' },
} as const;

export const MESH_HELP = `  --trust-domain NAME     trust domain of the mesh (default cluster.local)
  --root-namespace NAME   namespace of mesh-wide resources (default lateral-system)`;

export function meshOf(values: { readonly 'trust-domain': string; readonly 'root-namespace': string }): Mesh {
  const trustDomain = values['trust-domain'];
  const complaint = trustDomainComplaint(trustDomain);
  if (complaint !== undefined) throw new UsageError(`--trust-domain ${trustDomain} ${complaint}`);
  return { trustDomain, rootNamespace: values['root-namespace'] };
}
