/**
 * Headers as they came: `[name, value, name, value, …]`, order and case kept. Every part of Lateral
 * reads this one form, so that no two parts see different headers.
 */
export type FlatHeaders = readonly string[];

/**
 * The value of a header, several fields of one name joined by `separator` (default `, `, RFC 9110 §5.3), or undefined.
 * `lowerName` must be lower case.
 */
export function headerValue(headers: FlatHeaders, lowerName: string, separator = ', '): string | undefined {
  let found: string | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index];
    if (name === undefined || name.length !== lowerName.length) continue;
    if (name !== lowerName && name.toLowerCase() !== lowerName) continue;
    const value = headers[index + 1] ?? '';
    found = found === undefined ? value : found + separator + value;
  }
  return found;
}

/** The values of a header, an array where several fields have its name; undefined: there is none. `lowerName` must be lower case. */
export function headerValues(headers: FlatHeaders, lowerName: string): string | readonly string[] | undefined {
  let found: string | string[] | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index];
    if (name === undefined || name.length !== lowerName.length) continue;
    if (name !== lowerName && name.toLowerCase() !== lowerName) continue;
    const value = headers[index + 1] ?? '';
    if (found === undefined) found = value;
    else if (typeof found === 'string') found = [found, value];
    else found.push(value);
  }
  return found;
}

/**
 * A field's value, or a member of a list in it, without the optional whitespace around it (RFC 9110 §5.6.3): spaces and tabs alone, for apps take a
 * no-break space to be of the value. Linear, where a pattern would look at each run of spaces from each of them.
 */
export function withoutSpace(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isSpace(value.charCodeAt(start))) start += 1;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end -= 1;
  return end - start === value.length ? value : value.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
