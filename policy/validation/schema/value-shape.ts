import { isRecord } from '../../schema/schema.ts';

/** What may be said of a value without saying it: its type and size, of a text also what it is made of. */
export function shapeOf(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return `string(${value.length})${classOf(value)}`;
  if (Array.isArray(value)) return `array(${value.length})`;
  if (isRecord(value)) return `object(${Object.keys(value).length})`;
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

/** The value that an error speaks of, by its JSON Pointer; undefined: there is none. */
export function valueAt(root: unknown, pointer: string): unknown {
  let value = root;
  for (const step of pointer.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(value)) value = value[Number(name)];
    else if (isRecord(value) && Object.hasOwn(value, name)) value = value[name];
    else return undefined;
  }
  return value;
}

/** Longer texts are not looked through. */
const MAX_CLASSIFIED_LENGTH = 1024;

function classOf(text: string): string {
  if (text === '' || text.length > MAX_CLASSIFIED_LENGTH) return '';
  if (/^\d+$/.test(text)) return ' digits';
  if (/^[a-z]+$/i.test(text)) return ' letters';
  if (/^[a-z0-9]+$/i.test(text)) return ' letters and digits';
  return /^[\x20-\x7e]+$/.test(text) ? ' printable ASCII' : ' other characters';
}
