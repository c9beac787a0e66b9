import { type DistributedResource, readDistributedResource } from '../resource/read-resource.ts';
import type { ResourceDocument } from '../resource-set.ts';
import { textContext } from '../schema/document-context.ts';
import { finish } from '../steps/finish.ts';
import type { Steps } from '../steps/take-in-slices.ts';
import type { PeerTrust } from '../trust/peer-trust.ts';
import { TrustMemory } from '../trust/trust-memory.ts';
import type { Mesh } from '../workload-policy.ts';
import type { ReadDocument } from './read-documents.ts';
import { SnapshotError } from './snapshot-error.ts';

const KEPT_TYPES: ReadonlySet<DistributedResource['type']> = new Set(['MeshService', 'TrustBundle', 'RevocationList']);

/**
 * Reads one snapshot after another, each MeshService only when it has changed: there are as many as the mesh has services, a
 * pod that comes or goes changes one, and every sidecar is told. Trust too: what was verified under it stays so while it is the
 * same. What else there is, is little, or is read once (API descriptions).
 */
export class DocumentMemory {
  readonly #mesh: Mesh;
  /** By key, of the snapshot that was read last. */
  #kept: ReadonlyMap<string, ReadDocument> = new Map();
  readonly #trust = new TrustMemory();

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** As `readDocuments`; throws `SnapshotError` with every fault found. */
  read(resources: readonly ResourceDocument[]): readonly ReadDocument[] {
    return finish(this.reading(resources));
  }

  /** The same in steps. */
  *reading(resources: readonly ResourceDocument[]): Steps<readonly ReadDocument[]> {
    const reasons: string[] = [];
    const read: ReadDocument[] = [];
    const kept = new Map<string, ReadDocument>();
    for (const source of resources) {
      const known = this.#known(source);
      if (known === undefined) yield;
      const document = known ?? this.#read(source, reasons);
      if (document === undefined) continue;
      read.push(document);
      if (KEPT_TYPES.has(document.any.type)) kept.set(source.key, document);
    }
    if (reasons.length > 0) throw new SnapshotError(reasons);
    this.#kept = kept;
    return read;
  }

  /** Whom these resources say to believe; the very same object while they say the same. */
  trustOf(resources: readonly DistributedResource[]): PeerTrust | undefined {
    return this.#trust.of(resources);
  }

  /** By its text, not by the version that it claims to have. */
  #known(source: ResourceDocument): ReadDocument | undefined {
    const known = this.#kept.get(source.key);
    return known?.source.document === source.document ? known : undefined;
  }

  #read(source: ResourceDocument, reasons: string[]): ReadDocument | undefined {
    const any = readDistributedResource(parseJson(source, reasons), this.#mesh, textContext(reasons, source.key));
    return any === undefined ? undefined : { source, any };
  }
}

function parseJson({ key, document }: ResourceDocument, reasons: string[]): unknown {
  try {
    return JSON.parse(document);
  } catch {
    reasons.push(`${key}: not a JSON document`);
    return undefined;
  }
}
