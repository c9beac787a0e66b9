/** One `name=value` of a query or form. */
export interface FormField {
  /** Decoded; undefined: a broken encoding. */
  readonly name: string | undefined;
  /** As sent; undefined: no `=`. Arrays are split before decoding, so that an encoded delimiter is none. */
  readonly raw: string | undefined;
}

/** More fields in one query or form are refused. */
export const MAX_FORM_FIELDS = 2_000;

/**
 * The fields in their order, empty ones left out; undefined: more than MAX_FORM_FIELDS.
 * Source: URL Standard §5.1, application/x-www-form-urlencoded, but broken encodings are told, not mended.
 */
export function parseForm(text: string): readonly FormField[] | undefined {
  if (text === '') return [];
  const fields: FormField[] = [];
  let start = 0;
  while (start <= text.length) {
    const ampersand = text.indexOf('&', start);
    const end = ampersand < 0 ? text.length : ampersand;
    if (end > start) {
      if (fields.length === MAX_FORM_FIELDS) return undefined;
      const field = text.slice(start, end);
      const equals = field.indexOf('='); // of the whole text it would be looked for to its end, field by field
      fields.push({
        name: decodeFormText(equals < 0 ? field : field.slice(0, equals)),
        raw: equals < 0 ? undefined : field.slice(equals + 1),
      });
    }
    start = end + 1;
  }
  return fields;
}

/** `+` is a space, percent-encodings are UTF-8; undefined: a broken encoding. */
export function decodeFormText(text: string): string | undefined {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return undefined;
  }
}

/**
 * The declared name that some programs (PHP, Express, Rails) take a field for a part of, by brackets that others take as they are:
 * `password[$ne]` makes an object of `password`. Undefined: there is none.
 */
export function shadowedBy(name: string, declared: { readonly [name: string]: unknown }): string | undefined {
  const bracket = name.indexOf('[');
  if (bracket < 1 || Object.hasOwn(declared, name)) return undefined;
  const base = name.slice(0, bracket);
  return Object.hasOwn(declared, base) ? base : undefined;
}
