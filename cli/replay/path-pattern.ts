/** Longest pattern that is told. */
const MAX_LENGTH = 200;
const IDENTIFIERS = /^(?:\d+|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?=.*\d)[0-9a-f]{12,}|(?=.*\d)[\w-]{20,})$/i;

/** The path with what looks like an identifier replaced by `{*}`, without the query: `/orders/{*}`. */
export function pathPattern(path: string): string {
  const mark = path.indexOf('?');
  const pattern = (mark === -1 ? path : path.slice(0, mark))
    .split('/')
    .map((segment) => (IDENTIFIERS.test(segment) ? '{*}' : segment))
    .join('/');
  return pattern.length > MAX_LENGTH ? `${pattern.slice(0, MAX_LENGTH)}…` : pattern;
}
