import { isRecord } from '../../schema/schema.ts';
import type { Located, References } from '../schema/schema-references.ts';

/** Keywords of a string that any bytes satisfy. */
const FREE_STRING = new Set([
  ...['type', 'format', 'title', 'description', 'default', 'example', 'examples', 'deprecated', 'externalDocs'],
  ...['contentMediaType', 'contentEncoding', 'xml', 'nullable', 'readOnly', 'writeOnly', '$comment'],
]);
const FREE_FORMATS = new Set<unknown>([undefined, 'binary']);

/** True for a schema that says nothing about the bytes: none, `{}`, or a string of any content. */
export function isFreeSchema(start: Located, references: References): boolean {
  const { value } = references.follow(start);
  if (value === true) return true;
  if (!isRecord(value)) return false;
  const keywords = Object.keys(value).filter((keyword) => !keyword.startsWith('x-'));
  if (!keywords.every((keyword) => FREE_STRING.has(keyword))) return false;
  return (value.type === undefined || value.type === 'string') && FREE_FORMATS.has(value.format);
}
