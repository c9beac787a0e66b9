import type { Judgement } from '#policy/authentication/judge-tokens.ts';
import { Refusal } from '#policy/error/refusal.ts';
import { type Authenticated, isAuthenticated, narrowed, type Routed } from '../exchange/exchange.ts';

/**
 * Judges the token of the request, if it brings any; from here on the request is without it (unless a policy says otherwise)
 * and without the headers that only tokens may set. Refuses with the codes of tokens (401) and issuer_keys_unavailable; in
 * Audit mode it records and goes on without claims. A promise only where keys or a signature have to be waited for.
 */
export function authenticate(exchange: Routed): Authenticated | Promise<Authenticated> {
  const { authentication } = exchange.policy;
  if (authentication === undefined) return authenticated(exchange);
  exchange.enter('authenticate');
  const judgement = authentication.judge(exchange.headers, exchange.query);
  if (!(judgement instanceof Promise)) return settle(exchange, judgement);
  exchange.waitFor('issuer');
  return judgement.then((settled) => {
    if (exchange.givenUp !== undefined) throw exchange.givenUp;
    return settle(exchange, settled);
  });
}

function settle(exchange: Routed, judgement: Judgement): Authenticated {
  exchange.headers = judgement.headers;
  if (judgement.kind === 'accepted') {
    exchange.claims = judgement.claims;
    exchange.query = judgement.query;
    return authenticated(exchange);
  }
  const { code, reason, facts } = judgement;
  if (exchange.policy.defaults.mode === 'Enforce') throw new Refusal(code, reason, facts);
  exchange.audit({ code, reason, facts });
  return authenticated(exchange);
}

function authenticated(exchange: Routed): Authenticated {
  exchange.isAuthenticated = true;
  return narrowed(exchange, isAuthenticated);
}
