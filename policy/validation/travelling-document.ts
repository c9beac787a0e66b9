import { LRUCache } from 'lru-cache';
import { readDocumentText } from './openapi-text.ts';
import { reduceDocument } from './reduce-document.ts';

/** Documents whose reduced form is remembered: resources are put together anew at each change, and few documents change. */
const MAX_REMEMBERED_DOCUMENTS = 256;
/** Characters of all remembered documents together, as written and reduced. */
const MAX_REMEMBERED_CHARACTERS = 64 * 1024 * 1024;

const remembered = new LRUCache<string, string>({
  max: MAX_REMEMBERED_DOCUMENTS,
  maxSize: MAX_REMEMBERED_CHARACTERS,
  sizeCalculation: (reduced, text) => reduced.length + text.length + 1,
});

/** The text of a schema document as sidecars get it: what decides about requests and responses. One that cannot be read is left as it is. */
export function travellingDocument(text: string): string {
  const known = remembered.get(text);
  if (known !== undefined) return known;
  const { value, problems } = readDocumentText(text);
  const travelling = problems.length > 0 || value === undefined ? text : JSON.stringify(reduceDocument(value));
  remembered.set(text, travelling);
  return travelling;
}
