/** Host and port of an authority. */
export interface Authority {
  /** As sent; an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

/** Takes an authority apart (RFC 3986 §3.2, without userinfo); undefined where it is none. */
export function parseAuthority(authority: string): Authority | undefined {
  if (authority.startsWith('[')) {
    const end = authority.indexOf(']');
    if (end < 2) return undefined;
    return withPort(authority.slice(1, end), authority.slice(end + 1));
  }
  const colon = authority.indexOf(':');
  if (colon === -1) return authority === '' ? undefined : { host: authority, port: undefined };
  // More than one colon: an IPv6 address without brackets, which cannot carry a port.
  if (authority.indexOf(':', colon + 1) !== -1) return { host: authority, port: undefined };
  return colon === 0 ? undefined : withPort(authority.slice(0, colon), authority.slice(colon));
}

function withPort(host: string, rest: string): Authority | undefined {
  if (rest === '') return { host, port: undefined };
  if (rest === ':') return { host, port: undefined }; // RFC 3986 §3.2.3: an empty port is no port
  const digits = rest.slice(1);
  if (!rest.startsWith(':') || !/^[0-9]{1,5}$/.test(digits)) return undefined;
  const port = Number(digits);
  return port >= 1 && port <= 65535 ? { host, port } : undefined;
}
