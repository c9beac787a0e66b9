import { isSecretName } from '#policy/http/is-secret-name.ts';
import { isSecretValue, REDACTED } from '#policy/http/is-secret-value.ts';

/** Longest query that is kept in a log line. */
const MAX_QUERY_LENGTH = 2_048;

/**
 * The query as it may be logged: values of secret names, and values that look secret, are replaced. `tokens`: names of parameters
 * that hold tokens by a policy.
 */
export function redactQuery(query: string, tokens?: ReadonlySet<string>): string {
  if (query === '') return '';
  const shown = query
    .split('&')
    .map((pair) => redactPair(pair, tokens))
    .join('&');
  return shown.length > MAX_QUERY_LENGTH ? `${shown.slice(0, MAX_QUERY_LENGTH)}…` : shown;
}

function redactPair(pair: string, tokens: ReadonlySet<string> | undefined): string {
  const mark = pair.indexOf('=');
  if (mark === -1) return isSecretValue(decoded(pair)) ? REDACTED : pair;
  const name = pair.slice(0, mark);
  if (isSecretValue(decoded(name))) return REDACTED;
  const isToken = tokens !== undefined && tokens.size > 0 && tokens.has(decoded(name));
  return isToken || isSecretName(name) || isSecretValue(decoded(pair.slice(mark + 1))) ? `${name}=${REDACTED}` : pair;
}

function decoded(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
