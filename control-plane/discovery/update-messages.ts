import { DOCUMENT_CHUNK_BYTES, UPDATE_PART_BYTES } from '#proto/discovery-limits.ts';
import type { Resource, SubscribeResponse, Update } from '#proto/gen/lateral/v1/discovery.ts';

type Message = NonNullable<SubscribeResponse['message']>;

/** What stands for a resource whose document goes in chunks, by the very resource: its bytes are made once for all sidecars. */
const withoutDocuments = new WeakMap<Resource, Resource>();
const NOTHING = Buffer.alloc(0);

/**
 * An update as the messages that it is sent in: long documents in chunks, then the other resources in parts, then the update with
 * the last of them. None is much longer than UPDATE_PART_BYTES, and none is made before the one ahead of it was taken. `held`: versions of
 * documents that the sidecar has got already.
 */
export function* updateMessages(update: Update, held: ReadonlySet<string>): Generator<Message, void> {
  const upserts: Resource[] = [];
  for (const resource of update.upserts) {
    if (resource.document.byteLength <= DOCUMENT_CHUNK_BYTES) {
      upserts.push(resource);
      continue;
    }
    if (!held.has(resource.version)) yield* chunksOf(resource);
    upserts.push(withoutDocument(resource));
  }
  let part: Resource[] = [];
  let bytes = 0;
  for (const resource of upserts) {
    if (bytes > UPDATE_PART_BYTES) {
      yield { $case: 'updatePart', value: { upserts: part } };
      part = [];
      bytes = 0;
    }
    part.push(resource);
    bytes += bytesOf(resource);
  }
  yield { $case: 'update', value: { ...update, upserts: part } };
}

/** Room for a resource in a message: its document, key and version. */
export function bytesOf({ key, document }: Resource): number {
  return document.byteLength + key.length + ENVELOPE_BYTES_A_RESOURCE;
}

/** Version, tags and lengths. */
const ENVELOPE_BYTES_A_RESOURCE = 64;

function* chunksOf({ version, document }: Resource): Generator<Message, void> {
  for (let offset = 0; offset < document.byteLength; offset += DOCUMENT_CHUNK_BYTES) {
    const data = document.subarray(offset, offset + DOCUMENT_CHUNK_BYTES);
    yield { $case: 'documentChunk', value: { version, documentBytes: document.byteLength, offset, data } };
  }
}

function withoutDocument(resource: Resource): Resource {
  const known = withoutDocuments.get(resource);
  if (known !== undefined) return known;
  const { key, version } = resource;
  const without: Resource = { key, version, document: NOTHING, inChunks: true };
  withoutDocuments.set(resource, without);
  return without;
}
