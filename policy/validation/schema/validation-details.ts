import type { RefusalDetail } from '../../error/refusal.ts';
import { isSecretValue, REDACTED } from '../../http/is-secret-value.ts';
import { isRecord } from '../../schema/schema.ts';
import type { Validator } from '../instantiate-validators.ts';
import { asked, unenforced } from './judgement.ts';
import { PatternNotEnforceable } from './pattern.ts';
import { shapeOf, valueAt } from './value-shape.ts';
import { WorkExceeded } from './work-budget.ts';

/** Details of one finding; the rest is left out. */
export const MAX_DETAILS = 20;
/** Characters of a name out of the request in a message. */
const MAX_NAME_LENGTH = 64;
/** Characters of a pointer: property names come from the request. */
const MAX_POINTER_LENGTH = 256;

/**
 * Undefined when the value is valid; else what is wrong. `pointer` stands in front of the pointers within
 * the value. Whatever the validator throws (work exceeded, a stack too deep, a pattern that cannot be enforced) is a fault of the value:
 * it was not found valid.
 */
export function validate(
  validator: Validator,
  value: unknown,
  place: RefusalDetail['in'],
  pointer: string,
): readonly RefusalDetail[] | undefined {
  try {
    if (asked(validator, value, place, pointer)) return undefined;
  } catch (error) {
    if (error instanceof PatternNotEnforceable) return [unenforced(error, place, pointer)];
    const isExpected = error instanceof WorkExceeded || error instanceof RangeError;
    if (!isExpected) throw error;
    return [{ in: place, pointer, keyword: 'work', message: error.message }];
  }
  const errors: readonly unknown[] = Array.isArray(validator.errors) ? validator.errors : [];
  const details = errors.slice(0, MAX_DETAILS).map((error) => detail(error, value, place, pointer));
  return details.length > 0 ? details : [{ in: place, pointer, keyword: 'schema', message: 'is not valid' }];
}

function detail(error: unknown, value: unknown, place: RefusalDetail['in'], pointer: string): RefusalDetail {
  if (!isRecord(error)) return { in: place, pointer, keyword: 'schema', message: 'is not valid' };
  const { instancePath, keyword, message, params } = error;
  return {
    in: place,
    pointer: shownPointer(`${pointer}${String(instancePath ?? '')}`),
    keyword: String(keyword ?? 'schema'),
    message: `${String(message ?? 'is not valid')}${surplus(params)}`,
    shape: shapeOf(valueAt(value, String(instancePath ?? ''))),
  };
}

/** The name of a property that should not be there: a key out of the request, not a value. */
function surplus(params: unknown): string {
  if (!isRecord(params)) return '';
  const name = params.additionalProperty ?? params.unevaluatedProperty;
  return typeof name === 'string' ? `: ${JSON.stringify(shownName(name))}` : '';
}

/** Names come from the request too: `{"jane@example.com": 1}`. */
function shownName(name: string): string {
  return isSecretValue(name) ? REDACTED : shortened(name, MAX_NAME_LENGTH);
}

/** A JSON Pointer as it may be told, without names that look like a secret or a person; of MAX_POINTER_LENGTH at most. */
export function shownPointer(pointer: string): string {
  const shown = pointer.split('/').map((step) => (isSecretValue(unescaped(step)) ? REDACTED : step));
  return shortened(shown.join('/'), MAX_POINTER_LENGTH);
}

function unescaped(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}

/** One step of a JSON Pointer (RFC 6901 §3). */
export function pointerTo(name: string): string {
  return `/${shownName(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

export function shortened(text: string, maxLength: number): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}

/** `path /id: must match format "uuid"; query /page: must be integer`. */
export function describeDetails(details: readonly RefusalDetail[]): string {
  return details
    .map(({ in: place, pointer, message }) => `${place}${pointer === '' ? '' : ` ${pointer}`}: ${message}`)
    .join('; ');
}
