import type { Exchange } from '../exchange/exchange.ts';

/**
 * The value of x-forwarded-client-cert, in Envoy's format, by which the app learns who calls;
 * undefined where the caller proved nothing.
 */
export function clientCertificate(exchange: Exchange, ownIdentity: string): string | undefined {
  const { certificate } = exchange.server.caller;
  if (certificate === undefined) return undefined;
  return `By=${ownIdentity};Hash=${certificate.sha256};URI=${certificate.identity.uri}`;
}
