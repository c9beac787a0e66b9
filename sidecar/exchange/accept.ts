import { Refusal } from '#policy/error/refusal.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { normalizePath } from '#policy/path/normalize-path.ts';
import type { PathNormalization } from '#policy/workload-policy.ts';
import { endToEndHeaders } from '../http/hop-by-hop.ts';
import type { RequestHead } from '../http/message.ts';
import { type Accepted, type Exchange, isAccepted, narrowed } from './exchange.ts';
import { REPLACED } from './request-headers.ts';

/** Bytes that never stand in a host (RFC 3986 §3.2.2) and would let two readers see two hosts. */
const NOT_IN_HOST = /[\s/?#@\\,<>"{}|^`]/;

/**
 * First stage of both directions: reads host, path, query and end-to-end headers, once, for every later stage: what
 * policy judges is what is sent on.
 * Refuses: malformed_request, ambiguous_path.
 */
export function accept(exchange: Exchange): Accepted {
  exchange.enter('accept');
  const { host, path, query, headers } = readHead(exchange.server.head, exchange.policy.defaults.pathNormalization);
  exchange.host = host;
  exchange.path = path;
  exchange.query = query;
  exchange.headers = headers;
  return narrowed(exchange, isAccepted);
}

/** A request as policies see it. */
export interface AcceptedHead {
  /** As Host or :authority has it; empty: HTTP/1.0 without. */
  readonly host: string;
  /** Normalized, without the query. */
  readonly path: string;
  /** Without its `?`; empty: none. */
  readonly query: string;
  /** End-to-end ones. */
  readonly headers: FlatHeaders;
}

/** Throws Refusal: malformed_request, ambiguous_path. */
export function readHead(head: RequestHead, pathNormalization: PathNormalization): AcceptedHead {
  const host = soleHost(head.headers, head.version);
  const target = originForm(head.method, head.target, host);
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? '' : target.slice(mark + 1);
  const normalized = path === '*' ? { kind: 'normal' as const, path } : normalizePath(path, pathNormalization);
  if (normalized.kind === 'ambiguous') {
    throw new Refusal('ambiguous_path', `${normalized.reason} (MeshDefaults.pathNormalization: Refuse)`);
  }
  return { host, path: normalized.path, query, headers: endToEndHeaders(head.headers, REPLACED) };
}

/** RFC 9112 §3.2: exactly one Host, and a valid one; HTTP/1.0 may have none. */
function soleHost(headers: FlatHeaders, version: string): string {
  let host: string | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    if (name.length !== 4 || name.toLowerCase() !== 'host') continue;
    if (host !== undefined) throw new Refusal('malformed_request', 'two Host headers (RFC 9112 §3.2)');
    host = headers[index + 1] ?? '';
  }
  if (host === undefined) {
    if (version === '1.0') return '';
    throw new Refusal('malformed_request', 'no Host header (RFC 9112 §3.2)');
  }
  if (NOT_IN_HOST.test(host)) throw new Refusal('malformed_request', 'invalid Host header (RFC 9112 §3.2)');
  return host;
}

/** RFC 9112 §3.2: origin-form, absolute-form where it agrees with Host, asterisk-form for OPTIONS. */
function originForm(method: string, target: string, host: string): string {
  if (target.includes('#')) throw new Refusal('malformed_request', 'fragment in the request target (RFC 9112 §3.2)');
  if (target.startsWith('/')) return target;
  if (target === '*' && method === 'OPTIONS') return target;
  const absolute = /^http:\/\/([^/?]*)(.*)$/i.exec(target);
  if (absolute === null)
    throw new Refusal('malformed_request', 'request target is neither a path nor an absolute http URI');
  if ((absolute[1] ?? '').toLowerCase() !== host.toLowerCase()) {
    throw new Refusal('malformed_request', 'the absolute request target and Host name different authorities');
  }
  const rest = absolute[2] ?? '';
  return rest.startsWith('/') ? rest : `/${rest}`;
}
