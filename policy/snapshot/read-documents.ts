import type { DistributedResource } from '../resource/read-resource.ts';
import type { ResourceDocument } from '../resource-set.ts';
import type { Mesh } from '../workload-policy.ts';
import { DocumentMemory } from './document-memory.ts';

/** A document, read. */
export interface ReadDocument {
  readonly source: ResourceDocument;
  readonly any: DistributedResource;
}

/** Reads all documents with the schemas of this program; throws `SnapshotError` with every fault found. */
export function readDocuments(resources: readonly ResourceDocument[], mesh: Mesh): readonly ReadDocument[] {
  return new DocumentMemory(mesh).read(resources);
}
