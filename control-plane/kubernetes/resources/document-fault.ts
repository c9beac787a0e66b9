import type { ResourceDocument } from '#policy/resource-set.ts';
import { readDocuments } from '#policy/snapshot/read-documents.ts';
import type { Mesh } from '#policy/workload-policy.ts';

/**
 * Why the readers of the mesh would refuse this document; undefined: they take it. One that they refuse must never be
 * published: a set is put in force as a whole, so that one team's object would hold up the policies of all.
 */
export function documentFault(document: ResourceDocument, mesh: Mesh): string | undefined {
  try {
    readDocuments([document], mesh);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
