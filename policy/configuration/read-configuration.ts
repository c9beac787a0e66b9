import { compareProblems, type Problem } from '../problem.ts';
import type { SourceFile } from '../resource-set.ts';
import { documentContext } from '../schema/document-context.ts';
import { isRecord, type ReadContext, type Schema } from '../schema/schema.ts';
import { readYaml } from '../yaml/read-yaml.ts';

export const CONFIGURATION_API_VERSION = 'lateral.dev/v1alpha1';

/** The configuration, or undefined where any problem is an error. Problems are sorted. */
export interface ConfigurationReading<T> {
  readonly value: T | undefined;
  readonly problems: readonly Problem[];
}

/**
 * Reads a configuration file: one YAML document with `apiVersion: lateral.dev/v1alpha1`, the given kind, and
 * the schema's fields beside them. Unknown keys are errors.
 */
export function readConfiguration<T>(file: SourceFile, kind: string, schema: Schema<T>): ConfigurationReading<T> {
  const { documents, problems: syntaxProblems } = readYaml(file);
  const problems = [...syntaxProblems];
  const [document, ...others] = documents;
  const at = (line: number, column: number, message: string) =>
    problems.push({ file: file.path, line, column, severity: 'error', code: 'invalid_value', message });
  for (const other of others) {
    const { line, column } = other.position([]);
    at(line, column, `a second document; a ${kind} file holds one`);
  }
  if (document === undefined) {
    if (problems.length === 0) at(1, 1, `empty file; expected a ${kind}`);
    return { value: undefined, problems };
  }
  const context = documentContext(file.path, document, problems);
  const value = readDocument(document.value, kind, schema, context);
  const hasError = problems.some(({ severity }) => severity === 'error');
  return { value: hasError ? undefined : value, problems: problems.sort(compareProblems) };
}

function readDocument<T>(document: unknown, kind: string, schema: Schema<T>, context: ReadContext): T | undefined {
  if (!isRecord(document)) {
    context.fail([], 'invalid_type', `expected a mapping with apiVersion, kind and the fields of a ${kind}`);
    return undefined;
  }
  const { apiVersion, kind: givenKind, ...fields } = document;
  requireText(apiVersion, 'apiVersion', CONFIGURATION_API_VERSION, context);
  requireText(givenKind, 'kind', kind, context);
  return schema.read(fields, [], context);
}

function requireText(given: unknown, field: string, expected: string, context: ReadContext): void {
  if (given === expected) return;
  if (given === undefined) context.fail([], 'missing_field', `missing field ${field}; expected ${field}: ${expected}`);
  else context.fail([field], 'invalid_value', `expected ${expected}, got ${JSON.stringify(given)}`);
}
