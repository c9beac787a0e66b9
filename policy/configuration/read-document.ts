import { isRecord, type ReadContext, type Schema } from '../schema/schema.ts';

export const CONFIGURATION_API_VERSION = 'lateral.dev/v1alpha1';

/** Reads the one document of a configuration: `apiVersion`, the given kind, and the schema's fields beside them. */
export function readDocument<T>(
  document: unknown,
  kind: string,
  schema: Schema<T>,
  context: ReadContext,
): T | undefined {
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
