import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { Resource, SubscribeResponse, Update, UpdatePart } from '#proto/gen/lateral/v1/discovery.ts';

/** Tags of length-delimited fields: `SubscribeResponse.update` (1) and `update_part` (4), `upserts` (3) of both. */
const UPDATE_TAG = (1 << 3) | 2;
const PART_TAG = (4 << 3) | 2;
const UPSERT_TAG = (3 << 3) | 2;

/** The resource as a field of an update, by the very resource: made once for all sidecars that get it. */
const fields = new WeakMap<Resource, Uint8Array>();

/**
 * The bytes of a response. An update is put together from the bytes of its resources, which are those of all sidecars, and
 * copied once: a generated encoder makes each of them anew, and copies the whole three times.
 */
export function encodeResponse(response: SubscribeResponse): Buffer {
  const { message } = response;
  // Fields may come in any order: all others first, then the resources.
  if (message?.$case === 'update') {
    return withResources(UPDATE_TAG, Update.encode({ ...message.value, upserts: [] }).finish(), message.value.upserts);
  }
  if (message?.$case === 'updatePart') {
    return withResources(PART_TAG, UpdatePart.encode({ upserts: [] }).finish(), message.value.upserts);
  }
  return asBuffer(SubscribeResponse.encode(response).finish());
}

function withResources(tag: number, others: Uint8Array, resources: readonly Resource[]): Buffer {
  const upserts = resources.map(fieldOf);
  const length = upserts.reduce((sum, { byteLength }) => sum + byteLength, others.byteLength);
  const head = new BinaryWriter().uint32(tag).uint32(length).finish();
  return Buffer.concat([head, others, ...upserts], head.byteLength + length);
}

function fieldOf(resource: Resource): Uint8Array {
  const known = fields.get(resource);
  if (known !== undefined) return known;
  const field = Resource.encode(resource, new BinaryWriter().uint32(UPSERT_TAG).fork()).join().finish();
  fields.set(resource, field);
  return field;
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
