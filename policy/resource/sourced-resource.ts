import type { Problem } from '../problem.ts';
import { documentContext } from '../schema/document-context.ts';
import type { Path, ReadContext } from '../schema/schema.ts';
import type { DocumentBundle } from '../validation/bundle-document.ts';
import type { YamlDocument } from '../yaml/read-yaml.ts';
import type { AnyResource } from './read-resource.ts';

/** A resource and the place it was read from. */
export interface SourcedResource {
  readonly any: AnyResource;
  readonly file: string;
  readonly document: YamlDocument;
  /** Of an APISchema whose document is of several files. */
  readonly bundle?: DocumentBundle | undefined;
  /** Path of the resource within its YAML document: empty, or that of an item of a List. */
  readonly prefix: Path;
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
