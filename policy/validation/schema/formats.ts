import { fullFormats } from 'ajv-formats/dist/formats.js';
import { MAX_FORMAT_LENGTHS } from './format-names.ts';

/** A `format` of strings. */
export type FormatCheck = (text: string) => boolean;
/** A `format` of numbers, as Ajv takes it. */
export interface NumberFormat {
  readonly type: 'number';
  readonly validate: (value: number) => boolean;
}

const MAX_INT32 = 2 ** 31 - 1;
/** The doubles nearest to the bounds of an int64; the upper one stands for 2^63 - 1 as well. */
const MAX_INT64 = 2 ** 63;

/** The formats that are checked, by name; others are annotations. */
export const formats: { readonly [name: string]: FormatCheck | NumberFormat | true } = {
  ...Object.fromEntries(
    Object.entries(MAX_FORMAT_LENGTHS).map(([name, maxLength]): [string, FormatCheck] => {
      const check = stringCheck(name);
      return [name, (text) => text.length <= maxLength && check(text)];
    }),
  ),
  byte: isBase64,
  int32: {
    type: 'number',
    validate: (value) => Number.isInteger(value) && value >= -MAX_INT32 - 1 && value <= MAX_INT32,
  },
  int64: { type: 'number', validate: (value) => Number.isInteger(value) && value >= -MAX_INT64 && value <= MAX_INT64 },
  float: { type: 'number', validate: Number.isFinite },
  double: { type: 'number', validate: Number.isFinite },
  password: true,
  binary: true,
};

function stringCheck(name: string): FormatCheck {
  const format: unknown = Object.entries(fullFormats).find(([candidate]) => candidate === name)?.[1];
  if (format instanceof RegExp) return (text) => format.test(text);
  if (typeof format === 'function') return (text) => format(text) === true;
  if (typeof format === 'object' && format !== null && 'validate' in format) {
    const { validate } = format;
    if (typeof validate === 'function') return (text) => validate(text) === true;
  }
  throw new TypeError(`ajv-formats has no format ${name}`);
}

/** RFC 4648 §4, with padding. */
function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}
