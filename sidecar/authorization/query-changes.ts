import { MalformedAnswer } from './verdict.ts';

/** Parameters of the query that one answer may set and remove: each is looked for among all that there are. */
export const MAX_CHANGED_PARAMETERS = 100;

/** Parameters of the query that a provider sets and removes, as they stand in a query: percent-encoded. */
export interface QueryChanges {
  readonly set: readonly (readonly [key: string, value: string])[];
  readonly removed: readonly string[];
}

/** RFC 3986 §3.4, without what parts one parameter from the next. */
const PART = /^(?:[-._~!$'()*+,;:@/?A-Za-z0-9]|%[0-9A-Fa-f]{2})*$/;

/** Throws MalformedAnswer for what would be more than one parameter, or none. */
export function checkQueryChanges({ set, removed }: QueryChanges): void {
  const isGood = set.every(([key, value]) => key !== '' && PART.test(key) && PART.test(value));
  if (!isGood || !removed.every((key) => PART.test(key)))
    throw new MalformedAnswer('a parameter of the query is not percent-encoded');
}

/** First what is set, which takes the place of all of its name, then what is removed. Source: Envoy. */
export function changedQuery(query: string, { set, removed }: QueryChanges): string {
  let parameters = query === '' ? [] : query.split('&');
  for (const [key, value] of set) parameters = [...without(parameters, key), `${key}=${value}`];
  for (const key of removed) parameters = without(parameters, key);
  return parameters.join('&');
}

/** A key may be spelt in several ways: what is removed is gone in all of them. */
function without(parameters: readonly string[], key: string): string[] {
  const wanted = decoded(key);
  return parameters.filter((parameter) => decoded(parameter.split('=', 1)[0] ?? '') !== wanted);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
