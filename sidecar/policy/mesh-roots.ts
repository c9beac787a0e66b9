import type { ResourceDocument, Snapshot } from '#policy/resource-set.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';

/** Roots of one trust domain. */
export interface DomainRoots {
  readonly trustDomain: string;
  /** PEM, without anything between the blocks. */
  readonly rootsPem: string;
}

/** What was read already: it is asked for at each snapshot and each time that metrics are. */
const read = new WeakMap<ResourceDocument, readonly DomainRoots[]>();

/** The roots that the mesh has published, by trust domain, the own first; undefined: none. */
export function meshRoots(snapshot: Snapshot, { rootNamespace }: Mesh): readonly DomainRoots[] | undefined {
  const document = snapshot.resources.find(({ key }) => key === `TrustBundle/${rootNamespace}/mesh`);
  if (document === undefined) return undefined;
  const known = read.get(document) ?? rootsOf(document.document);
  read.set(document, known);
  return known;
}

/** Of a document that is in force, and so has been judged before. */
function rootsOf(document: string): readonly DomainRoots[] {
  const value: unknown = JSON.parse(document);
  const spec = isRecord(value) && isRecord(value.spec) ? value.spec : {};
  if (!Array.isArray(spec.domains)) return [];
  return spec.domains.filter(isRecord).flatMap(({ trustDomain, roots }) => {
    if (typeof trustDomain !== 'string' || !Array.isArray(roots)) return [];
    const pem = roots.filter((root) => typeof root === 'string').join('\n');
    return [{ trustDomain, rootsPem: certificatesToPem(certificatesFromPem(pem)) }];
  });
}
