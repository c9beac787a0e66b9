import { type AnyResource, readResource } from '../resource/read-resource.ts';
import type { ResourceDocument } from '../resource-set.ts';
import { textContext } from '../schema/document-context.ts';
import type { Mesh } from '../workload-policy.ts';
import { SnapshotError } from './snapshot-error.ts';

/** A document, read. */
export interface ReadDocument {
  readonly source: ResourceDocument;
  readonly any: AnyResource;
}

/** Reads all documents with the schemas of this program; throws `SnapshotError` with every fault found. */
export function readDocuments(resources: readonly ResourceDocument[], mesh: Mesh): readonly ReadDocument[] {
  const reasons: string[] = [];
  const read: ReadDocument[] = [];
  for (const source of resources) {
    const any = readResource(parseJson(source, reasons), mesh, textContext(reasons, source.key));
    if (any !== undefined) read.push({ source, any });
  }
  if (reasons.length > 0) throw new SnapshotError(reasons);
  return read;
}

function parseJson({ key, document }: ResourceDocument, reasons: string[]): unknown {
  try {
    return JSON.parse(document);
  } catch {
    reasons.push(`${key}: not a JSON document`);
    return undefined;
  }
}
