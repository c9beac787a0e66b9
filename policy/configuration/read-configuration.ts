import { compareProblems, type Problem } from '../problem.ts';
import type { SourceFile } from '../resource-set.ts';
import { documentContext } from '../schema/document-context.ts';
import type { Schema } from '../schema/schema.ts';
import { readYaml } from '../yaml/read-yaml.ts';
import { readDocument } from './read-document.ts';

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
