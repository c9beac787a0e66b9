import { posix } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Problem } from '../problem.ts';
import { isRecord, type Path } from '../schema/schema.ts';
import type { DocumentProblem } from '../validation/api-model.ts';
import type { DocumentBundle } from '../validation/openapi/bundle-document.ts';
import { documentTextOf } from '../validation/travelling-document.ts';
import { descriptorSetFindings, openApiFindings } from './document-facts.ts';
import { givenSpecOf, problemAt, type SourcedResource } from './sourced-resource.ts';

/** Documents whose findings are remembered: a folder is read again at each change, and few documents change. */
const MAX_REMEMBERED_DOCUMENTS = 256;
/** Characters of all remembered documents together. */
const MAX_REMEMBERED_CHARACTERS = 64 * 1024 * 1024;

const remembered = new LRUCache<string, readonly DocumentProblem[]>({
  max: MAX_REMEMBERED_DOCUMENTS,
  maxSize: MAX_REMEMBERED_CHARACTERS,
  sizeCalculation: (_problems, text) => text.length + 1,
});

/** What is wrong with the documents of the APISchemas: in their own files by position, inline ones at their place. */
export function checkApiSchemas(all: readonly SourcedResource[]): readonly Problem[] {
  return all.flatMap((sourced) => {
    if (sourced.any.type !== 'APISchema') return [];
    const { openapi, protoDescriptorSet } = sourced.any.resource.spec;
    if (protoDescriptorSet !== undefined) {
      const found = sourced.facts?.findings ?? descriptorSetFindings(protoDescriptorSet);
      const at = ['spec', 'protoDescriptorSet'];
      return found.map(({ severity, code, message }) => problemAt(sourced, at, severity, code, message));
    }
    if (openapi === undefined) return [];
    const found = sourced.facts?.findings ?? remembering(documentTextOf(openapi), sourced.bundle);
    return found.map((one) => placed(sourced, one));
  });
}

/** A problem of an APISchema's document: in its own file, or where it stands inline. */
export function placed(sourced: SourcedResource, found: DocumentProblem): Problem {
  const file = namedFile(givenSpecOf(sourced));
  if (file !== undefined) return { ...found, file: found.file ?? posix.join(posix.dirname(sourced.file), file) };
  const path: Path = ['spec', 'openapi', 'inline'];
  const message = `line ${found.line}, column ${found.column} of the document: ${found.message}`;
  return problemAt(sourced, path, found.severity, found.code, message);
}

function remembering(text: string, bundle: DocumentBundle | undefined): readonly DocumentProblem[] {
  // The files may say the same at other places.
  const key = bundle?.hash ?? text;
  const known = remembered.get(key);
  if (known !== undefined) return known;
  const found = openApiFindings(text, bundle?.text);
  remembered.set(key, found);
  return found;
}

function namedFile(spec: unknown): string | undefined {
  const openapi = isRecord(spec) ? spec.openapi : undefined;
  return isRecord(openapi) && typeof openapi.file === 'string' ? openapi.file : undefined;
}
