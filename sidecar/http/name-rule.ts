import { isToken } from '#policy/http/is-token.ts';

/** What has to be known of a field name; looked up once a field. */
export interface NameRule {
  /** As HTTP/2 wants it (RFC 9113 §8.2.1). */
  readonly lower: string;
  /** The same with `-` for `_`, as apps behind CGI and its heirs read it; undefined: it has no `_`. */
  readonly dashed: string | undefined;
  readonly isToken: boolean;
  /** Ends at this hop (RFC 9110 §7.6.1). */
  readonly isHopByHop: boolean;
  /** Ends at this hop, and is not said in HTTP/2 (RFC 9113 §8.2.2). */
  readonly isConnectionSpecific: boolean;
}

/** Names whose rule is kept; further ones, and longer ones, are looked at each time. */
const MAX_KNOWN_NAMES = 1_024;
const MAX_KNOWN_NAME_LENGTH = 64;
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
/** Source: RFC 9110 §7.6.1, RFC 9112; Keep-Alive and Proxy-Connection by usage. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  ...CONNECTION_SPECIFIC,
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'http2-settings',
]);

const known = new Map<string, NameRule>();

export function nameRule(name: string): NameRule {
  return known.get(name) ?? learn(name);
}

function learn(name: string): NameRule {
  const lower = name.toLowerCase();
  const rule = {
    lower,
    dashed: lower.includes('_') ? lower.replaceAll('_', '-') : undefined,
    isToken: isToken(name),
    isHopByHop: HOP_BY_HOP.has(lower),
    isConnectionSpecific: CONNECTION_SPECIFIC.has(lower),
  };
  // a copy: the name may be a slice, which would keep the whole header block
  if (known.size < MAX_KNOWN_NAMES && name.length <= MAX_KNOWN_NAME_LENGTH)
    known.set(Buffer.from(name, 'latin1').toString('latin1'), rule);
  return rule;
}
