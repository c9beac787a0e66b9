import { isIP } from 'node:net';
import type { FlatHeaders } from './flat-headers.ts';
import { joinedHeader } from './joined-header.ts';

/**
 * The address of the client behind `trustedProxies` proxies, each of which adds the address of its peer to `x-forwarded-for`: so many
 * from its end. The peer's own where none is trusted, fewer are named, or what is named there is no address. Source: Envoy's
 * `xff_num_trusted_hops`.
 */
export function remoteIp(headers: FlatHeaders, peer: string, trustedProxies: number): string {
  if (trustedProxies === 0) return peer;
  const forwarded = joinedHeader(headers, 'x-forwarded-for');
  if (forwarded === undefined) return peer;
  let end = forwarded.length;
  for (let proxy = 1; proxy < trustedProxies; proxy++) {
    end = forwarded.lastIndexOf(',', end - 1);
    if (end <= 0) return peer;
  }
  const named = forwarded.slice(forwarded.lastIndexOf(',', end - 1) + 1, end).trim();
  return isIP(named) === 0 ? peer : named;
}
