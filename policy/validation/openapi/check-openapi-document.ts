import type { DocumentProblem } from '../api-model.ts';
import { SchemaConverter } from '../schema/convert-schema.ts';
import { SchemaFault } from '../schema/schema-references.ts';
import type { DocumentText } from './openapi-text.ts';
import { type ReadOperation, readOpenApi } from './read-openapi.ts';

/** Problems reported for one document; the rest is left out. */
export const MAX_DOCUMENT_PROBLEMS = 200;

/**
 * All that is wrong with an OpenAPI document, by position in its text. Errors make it unusable; a warning
 * `schema_unavailable` says that an operation will be refused because it cannot be checked, others what of its schemas is not enforced. Compiles nothing. `text`: the source as it was
 * read already.
 */
export function checkOpenApiDocument(source: string, text?: DocumentText): readonly DocumentProblem[] {
  const document = readOpenApi(source, text);
  const problems = [...document.problems];
  const converter = new SchemaConverter(document.references, document.version);
  for (const operation of document.operations) {
    for (const { title, fault } of faultsOf(operation, converter)) {
      problems.push(
        document.text.problem('warning', fault.path, 'schema_unavailable', `${title} is refused: ${fault.message}`),
      );
      if (problems.length >= MAX_DOCUMENT_PROBLEMS) break;
    }
  }
  for (const { path, code, message } of converter.notices) {
    if (problems.length >= MAX_DOCUMENT_PROBLEMS) break;
    problems.push(document.text.problem('warning', path, code, message));
  }
  return problems.slice(0, MAX_DOCUMENT_PROBLEMS).sort(byPosition);
}

interface OperationFault {
  readonly title: string;
  readonly fault: SchemaFault;
}

function faultsOf(operation: ReadOperation, converter: SchemaConverter): readonly OperationFault[] {
  const { webhook } = operation;
  const title = webhook === undefined ? `${operation.method} ${operation.template}` : `webhook ${webhook}`;
  if (operation.fault !== undefined) return [{ title, fault: operation.fault }];
  const faults: OperationFault[] = [];
  const convert = (path: SchemaFault['path'], of: string) => {
    try {
      converter.closure(path);
    } catch (error) {
      if (!(error instanceof SchemaFault)) throw error;
      faults.push({ title: of, fault: error });
    }
  };
  for (const { schema } of operation.parameters) convert(schema.path, title);
  for (const { mediaRange, schema, fault } of operation.body?.contents ?? []) {
    const of = `${title} with ${mediaRange}`;
    if (fault !== undefined) faults.push({ title: of, fault });
    else if (schema !== undefined) convert(schema.path, of);
  }
  return faults;
}

function byPosition(left: DocumentProblem, right: DocumentProblem): number {
  const [file = '', other = ''] = [left.file, right.file];
  if (file !== other) return file < other ? -1 : 1;
  return left.line - right.line || left.column - right.column;
}
