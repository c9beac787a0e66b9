import { dashedName } from '../http/dashed-name.ts';
import type { FlatHeaders } from '../http/flat-headers.ts';

/** Where a token may stand. Header names are in lower case; `prefix` comes before the token, e.g. `Bearer `. */
export type TokenPlace =
  | { readonly kind: 'header'; readonly name: string; readonly prefix: string }
  | { readonly kind: 'parameter'; readonly name: string }
  | { readonly kind: 'cookie'; readonly name: string };

type HeaderPlace = Extract<TokenPlace, { kind: 'header' }>;

/** Where a token is looked for if a rule names no place. Istio also takes `access_token` of the query; here that must be named. */
export const DEFAULT_PLACE: TokenPlace = { kind: 'header', name: 'authorization', prefix: 'Bearer ' };

/** Two places of the same key are one. */
export function placeKey(place: TokenPlace): string {
  return `${place.kind}\n${place.name}\n${place.kind === 'header' ? place.prefix : ''}`;
}

/** The texts that stand at a place: all of them, so that no other than the one that was judged can be read behind it. */
export function textsAt(place: TokenPlace, headers: FlatHeaders, query: string): readonly string[] {
  switch (place.kind) {
    case 'header':
      return valuesOf(headers, place.name).flatMap((value) => textsIn(value, place));
    case 'parameter':
      return query === '' ? [] : query.split('&').flatMap((pair) => parameterText(pair, place.name) ?? []);
    case 'cookie':
      return valuesOf(headers, 'cookie').flatMap((value) =>
        value.split(';').flatMap((pair) => cookieText(pair, place.name) ?? []),
      );
  }
}

/** The headers without what stands at these places: the fields of a header that have a token, cookies one by one. */
export function headersWithout(headers: FlatHeaders, places: readonly TokenPlace[]): FlatHeaders {
  const cookies = new Set(places.flatMap(({ kind, name }) => (kind === 'cookie' ? [name] : [])));
  const kept: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    const value = headers[index + 1] ?? '';
    const hasToken = places.some(
      (place) => place.kind === 'header' && isNamed(name, place.name) && hasTexts(value, place),
    );
    if (hasToken) continue;
    const rest = cookies.size > 0 && isNamed(name, 'cookie') ? withoutCookies(value, cookies) : value;
    if (rest !== '' || value === '') kept.push(name, rest);
  }
  return kept;
}

/** The query without the parameters at these places. */
export function queryWithout(query: string, places: readonly TokenPlace[]): string {
  if (query === '') return query;
  const names = new Set(places.flatMap(({ kind, name }) => (kind === 'parameter' ? [name] : [])));
  if (names.size === 0) return query;
  return query
    .split('&')
    .filter((pair) => !names.has(decoded(nameOf(pair))))
    .join('&');
}

/** The value of a query parameter's name, as applications read it. */
export function decoded(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

function valuesOf(headers: FlatHeaders, lowerName: string): readonly string[] {
  const values: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    if (isNamed(name, lowerName)) values.push(headers[index + 1] ?? '');
  }
  return values;
}

/** Whether an app may take the field for this one: what it believes must have been judged. */
function isNamed(name: string, lowerName: string): boolean {
  if (name.length !== lowerName.length) return false;
  const lower = name.toLowerCase();
  return lower === lowerName || dashedName(lower) === dashedName(lowerName);
}

/** Characters of a token in compact form, by their codes. Source: Envoy, jwt_authn, which looks for them behind the prefix. */
const IS_TOKEN_CODE = new Uint8Array(128);
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.') {
  IS_TOKEN_CODE[character.charCodeAt(0)] = 1;
}

/**
 * The tokens in a header's value. The prefix may stand anywhere in it, and what is behind it up to a character that no token has
 * is the token, as in Envoy; where it stands again, so does another token. Without a prefix the whole value is the token.
 */
function textsIn(value: string, place: HeaderPlace): readonly string[] {
  if (place.prefix === '') return [value.trim()];
  const texts: string[] = [];
  const { searched, prefix } = prefixIn(value, place);
  for (let at = searched.indexOf(prefix); at !== -1; at = searched.indexOf(prefix, at)) {
    const start = runEnd(value, at + prefix.length, 0);
    at = runEnd(value, start, 1);
    texts.push(value.slice(start, at));
  }
  return texts;
}

/** True where `textsIn` finds any. */
function hasTexts(value: string, place: HeaderPlace): boolean {
  const { searched, prefix } = prefixIn(value, place);
  return searched.includes(prefix);
}

/** A scheme of Authorization is one in any case (RFC 9110 §11.1): apps read `bearer` as well, and a tab as a space, and what they read must be judged. */
function prefixIn(value: string, { name, prefix }: HeaderPlace): { searched: string; prefix: string } {
  if (name !== 'authorization') return { searched: value, prefix };
  return { searched: value.toLowerCase().replaceAll('\t', ' '), prefix: prefix.toLowerCase() };
}

/** Where the run of characters that are, or are not, of tokens ends. */
function runEnd(value: string, start: number, isToken: 0 | 1): number {
  let at = start;
  while (at < value.length && (IS_TOKEN_CODE[value.charCodeAt(at)] ?? 0) === isToken) at++;
  return at;
}

function nameOf(pair: string): string {
  const mark = pair.indexOf('=');
  return mark === -1 ? pair : pair.slice(0, mark);
}

function parameterText(pair: string, name: string): string | undefined {
  const given = nameOf(pair);
  return decoded(given) === name ? decoded(pair.slice(given.length + 1)) : undefined;
}

function cookieText(pair: string, name: string): string | undefined {
  const mark = pair.indexOf('=');
  return mark !== -1 && pair.slice(0, mark).trim() === name ? unquoted(pair.slice(mark + 1).trim()) : undefined;
}

/** RFC 6265 §4.1.1: a value may stand in quotes. */
function unquoted(value: string): string {
  return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

function withoutCookies(value: string, names: ReadonlySet<string>): string {
  return value
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => !names.has(nameOf(pair).trim()))
    .join('; ');
}
