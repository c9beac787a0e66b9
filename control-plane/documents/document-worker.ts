import { enableCompileCache } from 'node:module';
import { parentPort } from 'node:worker_threads';
import type { DocumentField } from '#policy/resource/kinds/api-schema.ts';
import type { DocumentPart, DocumentReading } from './document-reader.ts';
import { joinedDocument } from './joined-document.ts';

enableCompileCache(); // before the readers are loaded
const { readForGood } = await import('#policy/resource/document-facts.ts');
const { tooLong } = await import('./document-reader.ts');
const { MAX_SCHEMA_DOCUMENT_BYTES } = await import('#policy/resource/kinds/api-schema.ts');

let parts: DocumentPart[] = [];

/** Takes the parts of one document after the other, then its kind; and posts what the document amounts to. */
parentPort?.on('message', (message: DocumentPart | { readonly field: DocumentField }) => {
  if (!('field' in message)) {
    parts.push(message);
    return;
  }
  const { field } = message;
  const encoding = field === 'protoDescriptorSet' ? 'base64' : 'utf8';
  const document = joinedDocument(parts, encoding);
  parts = [];
  const bytes = Buffer.byteLength(document, encoding);
  const reading: DocumentReading =
    bytes > MAX_SCHEMA_DOCUMENT_BYTES
      ? { kind: 'failed', reason: tooLong(bytes) }
      : { kind: 'read', ...readForGood(field, document) };
  parentPort?.postMessage(reading);
});
