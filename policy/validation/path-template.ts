/** One segment of a path template: literals with parameters between them. `literals` has one entry more than `names`. */
export interface TemplateSegment {
  readonly literals: readonly string[];
  readonly names: readonly string[];
}

export type TemplateResult =
  | { readonly kind: 'valid'; readonly segments: readonly TemplateSegment[] }
  | { readonly kind: 'invalid'; readonly reason: string };

/** More segments than any path has; bounds the depth of the routing tree. */
export const MAX_TEMPLATE_SEGMENTS = 64;

/**
 * Reads a path template such as `/orders/{id}/files/{name}.{extension}`. Literals come out percent-decoded, as
 * request segments are compared. Source: OpenAPI 3.1 §4.8.8.
 */
export function parseTemplate(template: string): TemplateResult {
  if (!template.startsWith('/')) return invalid('must begin with /');
  const parts = template.slice(1).split('/');
  if (parts.length > MAX_TEMPLATE_SEGMENTS) return invalid(`has more than ${MAX_TEMPLATE_SEGMENTS} segments`);
  if (/[?#]/.test(template)) return invalid('must not have a query or fragment');
  const seen = new Set<string>();
  const segments: TemplateSegment[] = [];
  for (const part of parts) {
    const literals: string[] = [];
    const names: string[] = [];
    let rest = part;
    for (;;) {
      const open = rest.indexOf('{');
      const literal = open < 0 ? rest : rest.slice(0, open);
      if (literal.includes('}')) return invalid('has a } without {');
      const decoded = decodePercent(literal);
      if (decoded === undefined) return invalid(`has a broken percent-encoding in ${literal}`);
      if (decoded === '' && open >= 0 && names.length > 0) return invalid('has two parameters side by side');
      literals.push(decoded);
      if (open < 0) break;
      const close = rest.indexOf('}', open);
      if (close < 0) return invalid('has a { without }');
      const name = rest.slice(open + 1, close);
      if (name === '' || name.includes('{')) return invalid('has a parameter without a name');
      if (seen.has(name)) return invalid(`names the parameter ${name} twice`);
      seen.add(name);
      names.push(name);
      rest = rest.slice(close + 1);
    }
    segments.push({ literals, names });
  }
  return { kind: 'valid', segments };
}

/** Equal for templates that match the same paths: `/a/{x}` and `/a/{y}`. */
export function templateShape(segments: readonly TemplateSegment[]): string {
  return segments.map(({ literals }) => literals.map(encodeURIComponent).join('{}')).join('/');
}

/** The text with its percent-encodings decoded once as UTF-8; undefined: a broken encoding. */
export function decodePercent(text: string): string | undefined {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function invalid(reason: string): TemplateResult {
  return { kind: 'invalid', reason };
}
