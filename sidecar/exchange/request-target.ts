import type { Accepted } from './exchange.ts';

/** The target as it goes on, and as whoever is asked about the request is told it (RFC 9112 §3.2.1). An empty query stays one. */
export function requestTarget({ server, path, query }: Accepted): string {
  return query === '' && !server.head.target.endsWith('?') ? path : `${path}?${query}`;
}
