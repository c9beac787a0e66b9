import { LRUCache } from 'lru-cache';
import { MAX_SCHEMA_DOCUMENT_BYTES, type TravellingForm } from '../resource/kinds/api-schema.ts';
import { readDocumentText } from './openapi/openapi-text.ts';
import { reduceDocument } from './openapi/reduce-document.ts';
import { reduceDescriptorSet } from './protobuf/reduce-descriptor-set.ts';

/** Documents whose reduced form is remembered: resources are put together anew at each change, and few documents change. */
const MAX_REMEMBERED_DOCUMENTS = 256;
/** Characters of all remembered documents together, as written and reduced. */
const MAX_REMEMBERED_CHARACTERS = 64 * 1024 * 1024;

const remembered = new LRUCache<string, string>({
  max: MAX_REMEMBERED_DOCUMENTS,
  maxSize: MAX_REMEMBERED_CHARACTERS,
  sizeCalculation: (reduced, text) => reduced.length + text.length + 1,
});

/** Longer texts travel compressed: GitHub's description becomes a twelfth of its reduced size. */
const MAX_PLAIN_CHARACTERS = 16 * 1024;
/** Of 0 to 11. Beyond it takes ten times as long for a tenth less. */
const BROTLI_QUALITY = 5;

const compressed = new LRUCache<string, string>({
  max: MAX_REMEMBERED_DOCUMENTS,
  maxSize: MAX_REMEMBERED_CHARACTERS,
  sizeCalculation: (base64, text) => base64.length + text.length,
});

/** A document as it travels, of its text as it is written. */
export function travellingOpenApi(written: string): TravellingForm {
  const text = travellingDocument(written);
  return text.length <= MAX_PLAIN_CHARACTERS ? { inline: text } : { brotli: brotliOf(text, text) };
}

/** A descriptor set, in base64, as it travels: without its sources' comments. */
export function travellingDescriptorSet(base64: string): TravellingForm {
  if (base64.length <= MAX_PLAIN_CHARACTERS) return { inline: base64 };
  return { brotli: brotliOf(base64, () => reduceDescriptorSet(Buffer.from(base64, 'base64'))) };
}

function brotliOf(key: string, content: string | (() => Buffer)): string {
  const known = compressed.get(key);
  if (known !== undefined) return known;
  const { brotliCompressSync, constants } = zlib();
  const params = { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY };
  const brotli = brotliCompressSync(typeof content === 'string' ? content : content(), { params }).toString('base64');
  compressed.set(key, brotli);
  return brotli;
}

/** Loaded when first needed: 3 MB, which a sidecar without large documents does without. */
const zlib = () => process.getBuiltinModule('node:zlib');

/** The text of a document that came in either form. Throws where it is not whole, or longer than MAX_SCHEMA_DOCUMENT_BYTES. */
export function documentTextOf({ inline, brotli }: TravellingForm): string {
  return inline ?? undone(brotli).toString('utf8');
}

/** Likewise of a descriptor set: the bytes. */
export function descriptorSetOf({ inline, brotli }: TravellingForm): Buffer {
  return inline === undefined ? undone(brotli) : Buffer.from(inline, 'base64');
}

function undone(brotli = ''): Buffer {
  const maxOutputLength = MAX_SCHEMA_DOCUMENT_BYTES;
  return zlib().brotliDecompressSync(Buffer.from(brotli, 'base64'), { maxOutputLength });
}

/** The text of a schema document as sidecars get it: what decides about requests and responses. One that cannot be read is left as it is. */
export function travellingDocument(text: string): string {
  const known = remembered.get(text);
  if (known !== undefined) return known;
  const { value, problems } = readDocumentText(text);
  const travelling = problems.length > 0 || value === undefined ? text : JSON.stringify(reduceDocument(value));
  remembered.set(text, travelling);
  return travelling;
}
