import { type Accepted, type Identified, isIdentified, narrowed } from '../exchange/exchange.ts';

/**
 * Names the caller by the certificate that its connection proved at accept; in plaintext (PERMISSIVE) it has none, and
 * so no identity. What had to be refused was refused there: this stage has no refusal of its own.
 */
export function identify(exchange: Accepted): Identified {
  exchange.enter('identify');
  exchange.source = exchange.server.caller.certificate?.identity ?? null;
  return narrowed(exchange, isIdentified);
}
