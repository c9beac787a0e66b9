import type { Problem } from '../problem.ts';
import { documentContext } from '../schema/document-context.ts';
import { isRecord, type Path, type ReadContext } from '../schema/schema.ts';
import type { DocumentBundle } from '../validation/openapi/bundle-document.ts';
import type { YamlDocument } from '../yaml/read-yaml.ts';
import type { DocumentFacts } from './document-facts.ts';
import type { AnyResource } from './read-resource.ts';

/** A resource and the place it was read from. */
export interface SourcedResource {
  readonly any: AnyResource;
  readonly file: string;
  readonly document: YamlDocument;
  /** Of an APISchema whose document is of several files. */
  readonly bundle?: DocumentBundle | undefined;
  /** Of an APISchema whose document was read by another thread: what that found. */
  readonly facts?: DocumentFacts | undefined;
  /** Path of the resource within its YAML document: empty, or that of an item of a List. */
  readonly prefix: Path;
}

/** The resource as it was written: of its document, what stands at `prefix`. */
export function givenOf({ document, prefix }: Pick<SourcedResource, 'document' | 'prefix'>): unknown {
  let given: unknown = document.value;
  for (const step of prefix) {
    if (Array.isArray(given) && typeof step === 'number') given = given[step];
    else if (isRecord(given)) given = given[step];
  }
  return given;
}

/** The spec as it was written. */
export function givenSpecOf(place: Pick<SourcedResource, 'document' | 'prefix'>): unknown {
  const given = givenOf(place);
  return isRecord(given) ? (given.spec ?? {}) : {};
}

/** A context whose paths begin at `prefix`. */
export function prefixed(context: ReadContext, prefix: Path): ReadContext {
  if (prefix.length === 0) return context;
  return {
    fail: (path, code, message, at) => context.fail([...prefix, ...path], code, message, at),
    warn: (path, code, message, at) => context.warn([...prefix, ...path], code, message, at),
  };
}

/** Reports a problem of a resource at a path from its root. */
export function problemAt(
  { file, document, prefix }: Pick<SourcedResource, 'file' | 'document' | 'prefix'>,
  path: Path,
  severity: Problem['severity'],
  code: string,
  message: string,
): Problem {
  return { file, ...document.position([...prefix, ...path]), severity, code, message };
}

/** Where a resource stands, for messages of others: `file:line`. */
export function placeOf({ file, document, prefix }: Pick<SourcedResource, 'file' | 'document' | 'prefix'>): string {
  return `${file}:${document.position(prefix).line}`;
}

export function contextOf(
  { file, document, prefix }: Pick<SourcedResource, 'file' | 'document' | 'prefix'>,
  problems: Problem[],
): ReadContext {
  return prefixed(documentContext(file, document, problems), prefix);
}
