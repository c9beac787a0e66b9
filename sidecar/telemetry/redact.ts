/** Names of parameters whose values are never logged, compared in lower case without `-` and `_`. */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  'accesskey',
  'accesstoken',
  'apikey',
  'assertion',
  'auth',
  'authorization',
  'clientsecret',
  'code',
  'credential',
  'idtoken',
  'jwt',
  'key',
  'passwd',
  'password',
  'pin',
  'pwd',
  'refreshtoken',
  'secret',
  'session',
  'sessionid',
  'sig',
  'signature',
  'token',
]);

/** Values that are secret or personal whatever their name: JSON Web Tokens, e-mail addresses, long digit runs (cards). */
const SECRET_VALUE = /^(?:ey[\w-]{8,}\.[\w-]+\.[\w-]*|[^@\s]+(?:@|%40)[^@\s]+\.[a-z]{2,}|(?:\d[ +-]?){13,19})$/i;

/** Longest query that is kept in a log line. */
const MAX_QUERY_LENGTH = 2_048;
export const REDACTED = '[redacted]';

/** The query as it may be logged: values of secret names, and values that look secret, are replaced. */
export function redactQuery(query: string): string {
  if (query === '') return '';
  const shown = query.length > MAX_QUERY_LENGTH ? `${query.slice(0, MAX_QUERY_LENGTH)}…` : query;
  return shown
    .split('&')
    .map((pair) => {
      const mark = pair.indexOf('=');
      if (mark === -1) return SECRET_VALUE.test(pair) ? REDACTED : pair;
      const name = pair.slice(0, mark);
      return isSecretName(name) || SECRET_VALUE.test(pair.slice(mark + 1)) ? `${name}=${REDACTED}` : pair;
    })
    .join('&');
}

/** True for names of headers and parameters that carry secrets. */
export function isSecretName(name: string): boolean {
  let decoded = name;
  try {
    decoded = decodeURIComponent(name);
  } catch {
    return true; // a name that cannot be read may hide one that is secret
  }
  const plain = decoded
    .toLowerCase()
    .replace(/^x-/, '')
    .replaceAll(/[-_.[\]]/g, '');
  return SECRET_NAMES.has(plain) || plain === 'cookie' || plain === 'setcookie' || plain === 'proxyauthorization';
}
