import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { REPLACED } from '../exchange/request-headers.ts';
import { nameRule } from '../http/name-rule.ts';
import { MalformedAnswer } from './verdict.ts';

/** Headers that one answer may set or remove. */
export const MAX_CHANGED_HEADERS = 100;

/** One header that a provider sets. `value` is of bytes, one a character. */
export interface HeaderChange {
  readonly name: string;
  readonly value: string;
  readonly how: 'set' | 'append' | 'add-if-absent' | 'set-if-present';
}

/** Framing and routing of a message are not the provider's, nor what this hop vouches for. */
const NEVER_CHANGED: ReadonlySet<string> = new Set(['host', 'content-length', 'lateral-decision', ...REPLACED]);

/** What no header may have: control characters would end it, or the connection. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/** True for headers that a provider may set and remove; others of its are left out. */
export function mayChange(name: string): boolean {
  if (name.startsWith(':')) return false;
  const { lower, dashed, isHopByHop } = nameRule(name);
  if (isHopByHop || NEVER_CHANGED.has(lower)) return false;
  return dashed === undefined || mayChange(dashed); // an app may read it so
}

/** Throws MalformedAnswer for what is no header. */
export function checkHeader(name: string, value: string): void {
  if (!name.startsWith(':') && !nameRule(name).isToken) throw new MalformedAnswer('the name of a header is no token');
  if (CONTROL.test(value)) throw new MalformedAnswer(`the value of header ${name} has control characters`);
}

/** The headers with the changes, in their order; what is set stands last. Pure. */
export function changedHeaders(
  headers: FlatHeaders,
  changes: readonly HeaderChange[],
  removed: readonly string[] = [],
): FlatHeaders {
  let changed = headers;
  for (const { name, value, how } of changes) {
    if (!mayChange(name)) continue;
    const lower = name.toLowerCase();
    const isThere = how !== 'append' && how !== 'set' && hasHeader(changed, lower);
    if ((how === 'add-if-absent' && isThere) || (how === 'set-if-present' && !isThere)) continue;
    changed = [...(how === 'append' ? changed : withoutHeader(changed, lower)), name, value];
  }
  for (const name of removed) if (mayChange(name)) changed = withoutHeader(changed, name.toLowerCase());
  return changed;
}

function hasHeader(headers: FlatHeaders, lowerName: string): boolean {
  return headers.some((name, index) => index % 2 === 0 && nameRule(name).lower === lowerName);
}

/** An app may read `x_user` as `x-user`: what a provider sets or removes is gone under both. */
function withoutHeader(headers: FlatHeaders, lowerName: string): FlatHeaders {
  const dashed = lowerName.replaceAll('_', '-');
  return headers.filter((_, index) => {
    const rule = nameRule(headers[index - (index % 2)] ?? '');
    return (rule.dashed ?? rule.lower) !== dashed;
  });
}
