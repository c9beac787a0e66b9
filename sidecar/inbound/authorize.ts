import { Refusal } from '#policy/error/refusal.ts';
import type { Permitted, Routed } from '../exchange/exchange.ts';

/**
 * Decides whether the caller may make this request. Refuses: authorization_denied,
 * authorization_not_allowed, authorization_default_deny. In Audit mode it records and lets pass.
 */
export function authorize(exchange: Routed): Permitted {
  exchange.enter('authorize');
  const { head, caller } = exchange.server;
  const decision = exchange.policy.authorizer.decide({
    source: exchange.source,
    method: head.method,
    path: exchange.path,
    host: exchange.host,
    headers: exchange.headers,
    port: exchange.port,
    sourceIp: caller.address,
  });
  exchange.policyName = decision.policy;
  exchange.rule = decision.rule;
  exchange.reason = decision.reason;
  if (decision.kind === 'allow') return Object.assign(exchange, { permitted: true as const });
  const facts = { policy: decision.policy, rule: decision.rule };
  if (exchange.policy.defaults.mode === 'Enforce') throw new Refusal(decision.code, decision.reason, facts);
  exchange.audit({ code: decision.code, reason: decision.reason, facts });
  return Object.assign(exchange, { permitted: true as const });
}
