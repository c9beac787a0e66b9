import { createHash, type Hash } from 'node:crypto';
import { VERSION_LENGTH } from '#policy/resource/resource-document.ts';
import { MAX_HELD_DOCUMENTS, MAX_UPDATE_BYTES } from '#proto/discovery-limits.ts';
import type { DocumentChunk, Resource, Update, UpdatePart } from '#proto/gen/lateral/v1/discovery.ts';

/** What came does not make an update: the stream is of no use any more. */
export class UpdateFault extends Error {}

/** A document of which some chunks have come. */
interface Begun {
  readonly version: string;
  readonly document: Buffer;
  readonly hash: Hash;
  length: number;
}

/**
 * Puts updates together of what comes ahead of them: long documents in chunks, resources in parts. Parts end with their stream, whole
 * documents stay until an update is answered, so that a connection that ends halfway costs no document twice. Holds at most MAX_UPDATE_BYTES.
 */
export class UpdateAssembly {
  #begun: Begun | undefined;
  readonly #held = new Map<string, Buffer>();
  #parts: Resource[] = [];
  #bytes = 0;

  /** Versions of the documents that are whole. */
  get held(): readonly string[] {
    return [...this.#held.keys()];
  }

  /** Another stream begins: what came in part on the last one is gone. */
  begin(): void {
    this.#begun = undefined;
    this.#parts = [];
    this.#bytes = [...this.#held.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Throws UpdateFault. */
  addChunk({ version, documentBytes, offset, data }: DocumentChunk): void {
    if (offset === 0) {
      if (this.#begun !== undefined)
        throw new UpdateFault(`document ${this.#begun.version} ended before its last chunk`);
      if (this.#held.size >= MAX_HELD_DOCUMENTS)
        throw new UpdateFault(`more than ${MAX_HELD_DOCUMENTS} documents in chunks`);
      this.#count(documentBytes);
      this.#begun = { version, document: Buffer.allocUnsafe(documentBytes), hash: createHash('sha256'), length: 0 };
    }
    const begun = this.#begun;
    const isNext = begun?.version === version && begun.document.byteLength === documentBytes && begun.length === offset;
    if (begun === undefined || !isNext || data.byteLength === 0 || data.byteLength > documentBytes - offset) {
      throw new UpdateFault(`a chunk of document ${version} at ${offset} is not the one that follows`);
    }
    begun.document.set(data, offset);
    begun.hash.update(data);
    begun.length += data.byteLength;
    if (begun.length < documentBytes) return;
    this.#begun = undefined;
    if (begun.hash.digest('hex').slice(0, VERSION_LENGTH) !== version) {
      throw new UpdateFault(`what came as document ${version} has another hash`);
    }
    this.#held.set(version, begun.document);
  }

  /** Throws UpdateFault. */
  addPart({ upserts }: UpdatePart): void {
    this.#count(upserts.reduce((sum, { document }) => sum + document.byteLength, 0));
    this.#parts.push(...upserts);
  }

  /** The update with all that belongs to it. Throws UpdateFault. */
  complete(update: Update): Update {
    const upserts = [...this.#parts, ...update.upserts].map((resource) => this.#withDocument(resource));
    this.#parts = [];
    return { ...update, upserts };
  }

  /** The update was taken or refused: nothing is held for it any more. */
  answered(): void {
    this.#held.clear();
    this.begin();
  }

  #withDocument(resource: Resource): Resource {
    if (!resource.inChunks) return resource;
    const document = this.#held.get(resource.version);
    if (document === undefined)
      throw new UpdateFault(`the document of ${resource.key}, ${resource.version}, did not come`);
    return { ...resource, document };
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > MAX_UPDATE_BYTES) throw new UpdateFault(`an update of over ${MAX_UPDATE_BYTES} bytes`);
  }
}
