import { isRecord } from '../../schema/schema.ts';

/**
 * Adds the first error of a failed reference to those found so far (null: none); `path` leads from the outer value to the inner one.
 * Exactly one is added: generated validators tell by the number of errors whether a step failed, and with alternatives in a recursive
 * schema all of them would double at each level of the body, and take all memory.
 */
export function joinErrors(errors: unknown[] | null, more: unknown, path = ''): unknown[] {
  const first = inside(Array.isArray(more) ? more[0] : undefined, path);
  if (errors === null) return [first];
  errors.push(first);
  return errors;
}

function inside(error: unknown, path: string): unknown {
  return path === '' || !isRecord(error) ? error : { ...error, instancePath: path + String(error.instancePath ?? '') };
}
