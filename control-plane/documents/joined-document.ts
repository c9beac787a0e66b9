import type { DocumentEncoding } from '#policy/resource/read-resource.ts';
import type { DocumentPart } from './document-reader.ts';

/** The document that parts make, one after the other: a character may begin in one part and end in the next. */
export function joinedDocument(parts: readonly DocumentPart[], encoding: DocumentEncoding): string {
  if (encoding === 'utf8' && !parts.some(({ isBase64 }) => isBase64)) return parts.map(({ text }) => text).join('');
  const bytes = parts.map(({ text, isBase64 }) => Buffer.from(text, isBase64 ? 'base64' : 'utf8'));
  return Buffer.concat(bytes).toString(encoding);
}
