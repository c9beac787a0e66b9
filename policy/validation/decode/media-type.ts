import { withoutSpace } from '../../http/flat-headers.ts';

export interface MediaType {
  /** Lower case, without parameters: `application/json`. */
  readonly essence: string;
  /** Lower case, unquoted; undefined: none. */
  readonly charset: string | undefined;
}

const TYPE = /^[!#$%&'*+.^_`|~\w-]+\/[!#$%&'*+.^_`|~\w-]+(?=[ \t]*(?:;|$))/;
/** RFC 9110 §5.6.6. One may be empty: `application/json;`. */
const PARAMETER = /[ \t]*;[ \t]*(?:([!#$%&'*+.^_`|~\w-]+)=(?:([!#$%&'*+.^_`|~\w-]+)|"((?:[^"\\]|\\.)*)"))?[ \t]*/y;
/** Parameters that say how a body is read. */
const READ_BY: ReadonlySet<string> = new Set(['charset', 'boundary']);

/** A Content-Type as RFC 9110 §8.3.1 writes it; undefined: it is not one, or one that programs read in two ways. */
export function parseMediaType(value: string): MediaType | undefined {
  const trimmed = withoutSpace(value);
  const essence = TYPE.exec(trimmed)?.[0];
  if (essence === undefined || essence.includes('*')) return undefined;
  const parameters = parametersOf(trimmed, essence.length);
  if (parameters === undefined) return undefined;
  return { essence: essence.toLowerCase(), charset: parameters.get('charset')?.toLowerCase() };
}

/** The boundary that a Content-Type names, as RFC 2046 §5.1.1 has it; undefined: none, two, or one that cannot be. */
export function boundaryOf(contentType: string): string | undefined {
  const trimmed = withoutSpace(contentType);
  const boundary = parametersOf(trimmed, TYPE.exec(trimmed)?.[0].length ?? 0)?.get('boundary');
  return boundary !== undefined && BOUNDARY.test(boundary) ? boundary : undefined;
}

/** Without the space that it must not end with: mailers take it away. */
const BOUNDARY = /^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$/;

/**
 * Those that say how a body is read, names in lower case, unquoted. Undefined where some programs would see another one: `charset =x`, one that
 * is given twice, one in parts or in a charset of its own (`boundary*=`, `boundary*0=`, RFC 2231).
 */
function parametersOf(value: string, from: number): ReadonlyMap<string, string> | undefined {
  const found = new Map<string, string>();
  PARAMETER.lastIndex = from;
  while (PARAMETER.lastIndex < value.length) {
    const [, name = '', token, quoted] = PARAMETER.exec(value) ?? [];
    if (PARAMETER.lastIndex === 0) return undefined;
    const [key = ''] = name.toLowerCase().split('*', 1);
    if (!READ_BY.has(key)) continue;
    if (found.has(key) || key.length < name.length) return undefined;
    found.set(key, token ?? quoted?.replace(/\\(.)/g, '$1') ?? '');
  }
  return found;
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
