/** Matches within one path segment. Source: Istio AuthorizationPolicy, `paths`. */
const ONE_SEGMENT = '{*}';
/** Matches zero or more characters, slashes included; the last operator of a template. */
const ANY_SEGMENTS = '{**}';

/** What may stand in a template: Istio's validation, RFC 3986 pchar without `*`. */
const LITERAL = /^[a-zA-Z0-9\-._~%!$&'()+,;:@=]+$/;

const IS_LITERAL = new Uint8Array(128);
for (let code = 0; code < 128; code++) IS_LITERAL[code] = LITERAL.test(String.fromCharCode(code)) ? 1 : 0;
// Envoy's operators match an asterisk of a request too, which may not stand in a template.
IS_LITERAL[0x2a] = 1;

export function isPathTemplate(path: string): boolean {
  return path.includes(ONE_SEGMENT) || path.includes(ANY_SEGMENTS);
}

/** What is wrong with a path of a policy, or undefined. Source: Istio's own validation. */
export function pathTemplateComplaint(path: string): string | undefined {
  if (!path.includes('{') && !path.includes('}')) return undefined;
  if (!path.startsWith('/')) return 'a path template begins with /';
  let hasAny = false;
  for (const segment of path.replace(/^\/+|\/+$/g, '').split('/')) {
    if (segment === ONE_SEGMENT || segment === ANY_SEGMENTS) {
      if (hasAny) return '{**} must be the last operator of the template';
      hasAny = segment === ANY_SEGMENTS;
    } else if (/[{}]/.test(segment)) {
      return `the segment ${segment} has braces beyond {*} and {**}, which stand alone in their segment`;
    } else if (!LITERAL.test(segment)) {
      return `the segment ${segment === '' ? '(empty)' : segment} cannot stand in a path template`;
    }
  }
  return undefined;
}

type Part =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'segment' }
  | { readonly kind: 'any' };

/** Compiles a template that `pathTemplateComplaint` has no complaint about; matching allocates nothing. */
export function compilePathTemplate(template: string): (path: string) => boolean {
  const parts: Part[] = template
    .split(/(\{\*\*?\})/)
    .filter((text) => text !== '')
    .map((text) => {
      if (text === ONE_SEGMENT) return { kind: 'segment' };
      return text === ANY_SEGMENTS ? { kind: 'any' } : { kind: 'literal', text };
    });
  return (path) => matchParts(parts, path);
}

/** `{*}` is delimited by slashes and `{**}` is the last operator: one pass, no backtracking. */
function matchParts(parts: readonly Part[], path: string): boolean {
  let position = 0;
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index];
    if (part === undefined) return false;
    if (part.kind === 'literal') {
      if (!path.startsWith(part.text, position)) return false;
      position += part.text.length;
    } else if (part.kind === 'segment') {
      const end = literalEnd(path, position, path.length, false);
      if (end === position) return false;
      position = end;
    } else {
      const rest = parts[index + 1];
      const tail = rest?.kind === 'literal' ? rest.text : '';
      const end = path.length - tail.length;
      return end >= position && path.endsWith(tail) && literalEnd(path, position, end, true) === end;
    }
  }
  return position === path.length;
}

function literalEnd(path: string, start: number, limit: number, allowsSlash: boolean): number {
  let index = start;
  while (index < limit) {
    const code = path.charCodeAt(index);
    if (code >= 128 || (IS_LITERAL[code] !== 1 && !(allowsSlash && code === 0x2f))) break;
    index++;
  }
  return index;
}
