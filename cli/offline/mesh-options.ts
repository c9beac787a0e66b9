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

/** Of commands that decide by other names of the trust domain too. */
export const ALIAS_OPTIONS = { 'trust-domain-alias': { type: 'string', multiple: true } } as const;

export const ALIAS_HELP = `  --trust-domain-alias NAME
                          another name of that trust domain, as the control plane's
                          trustDomainAliases; may be repeated`;

export function aliasesOf({
  'trust-domain-alias': aliases = [],
}: {
  readonly 'trust-domain-alias'?: readonly string[] | undefined;
}): readonly string[] {
  for (const alias of aliases) {
    const complaint = trustDomainComplaint(alias);
    if (complaint !== undefined) throw new UsageError(`--trust-domain-alias ${alias} ${complaint}`);
  }
  return aliases;
}
