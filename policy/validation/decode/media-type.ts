export interface MediaType {
  /** Lower case, without parameters: `application/json`. */
  readonly essence: string;
  /** Lower case, without quotes; undefined: none. */
  readonly charset: string | undefined;
}

const MEDIA_TYPE = /^([!#$%&'*+.^_`|~\w-]+\/[!#$%&'*+.^_`|~\w-]+)[ \t]*(?:;(.*))?$/;
const CHARSET = /^[ \t]*charset=(?:"([^"\\]*)"|([^\s";]*))[ \t]*$/i;

/** A Content-Type as RFC 9110 §8.3.1 writes it; undefined: it is not one (or there are two). */
export function parseMediaType(value: string): MediaType | undefined {
  const match = MEDIA_TYPE.exec(value.trim());
  const essence = match?.[1];
  if (match === null || essence === undefined || essence.includes('*')) return undefined;
  const parameters = match[2] ?? '';
  // A comma outside of a quoted parameter would be a second Content-Type, joined to the first.
  if (parameters.replace(/"[^"]*"/g, '').includes(',')) return undefined;
  let charset: string | undefined;
  for (const parameter of parameters.split(';')) {
    const found = CHARSET.exec(parameter);
    if (found === null) continue;
    if (charset !== undefined) return undefined;
    charset = (found[1] ?? found[2] ?? '').toLowerCase();
  }
  return { essence: essence.toLowerCase(), charset };
}

/** True for `application/json` and every `+json` type (RFC 6839 §3.1). */
export function isJsonType(essence: string): boolean {
  return essence === 'application/json' || essence === 'text/json' || essence.endsWith('+json');
}

/** How closely a range of `content` fits a type: 0 not at all, 4 exactly. Source: OpenAPI 3.1 §4.8.14. */
export function rangeFit(range: string, essence: string): number {
  if (range === essence) return 4;
  if (range === '*/*') return 1;
  const star = range.indexOf('*');
  if (star < 0) return 0;
  const prefix = range.slice(0, star);
  const suffix = range.slice(star + 1);
  if (essence.length <= prefix.length + suffix.length) return 0;
  if (!essence.startsWith(prefix) || !essence.endsWith(suffix)) return 0;
  return suffix === '' ? 2 : 3;
}
