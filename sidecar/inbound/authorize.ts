import { Refusal } from '#policy/error/refusal.ts';
import { remoteIp } from '#policy/http/remote-ip.ts';
import type { AuthorizationDecision } from '#policy/workload-policy.ts';
import { type Authenticated, isPermitted, narrowed, type Permitted } from '../exchange/exchange.ts';
import type { Passage } from '../exchange/passage.ts';

/**
 * Decides whether the caller may make this request. Refuses: authorization_denied,
 * authorization_not_allowed, authorization_default_deny. In Audit mode it records and lets pass.
 */
export function authorize(exchange: Authenticated): Permitted {
  exchange.enter('authorize');
  const { head, caller } = exchange.server;
  const { authorizer, defaults } = exchange.policy;
  const asked = {
    source: exchange.source,
    method: head.method,
    path: exchange.path,
    query: exchange.query,
    host: exchange.host,
    headers: exchange.headers,
    port: exchange.port,
    sourceIp: caller.address,
    remoteIp: remoteIp(exchange.headers, caller.address, defaults.trustedProxies),
    destinationIp: exchange.destinationIp,
    sni: caller.serverName,
    claims: exchange.claims,
  };
  settleDecision(exchange, authorizer.explain(authorizer.decide(asked), asked));
  exchange.permitted = true;
  return narrowed(exchange, isPermitted);
}

/** Records a decision; a denial throws in Enforce mode and is let pass, recorded, in Audit. */
export function settleDecision(passage: Passage, decision: AuthorizationDecision): void {
  passage.policyName = decision.policy;
  passage.rule = decision.rule;
  passage.reason = decision.reason;
  if (decision.kind === 'allow') return;
  const facts = { policy: decision.policy, rule: decision.rule };
  if (passage.policy.defaults.mode === 'Enforce') throw new Refusal(decision.code, decision.reason, facts);
  passage.audit({ code: decision.code, reason: decision.reason, facts });
}
