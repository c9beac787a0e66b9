import { Refusal } from '#policy/error/refusal.ts';
import { remoteIp } from '#policy/http/remote-ip.ts';
import type { AuthorizationDecision, AuthorizationRequest } from '#policy/workload-policy.ts';
import { type Authenticated, type Consulted, isPermitted, narrowed, type Permitted } from '../exchange/exchange.ts';
import type { Passage } from '../exchange/passage.ts';
import { SecondsBudget } from './explanation-budget.ts';

/**
 * Decides whether the caller may make this request. Refuses: authorization_denied,
 * authorization_not_allowed, authorization_default_deny. In Audit mode it records and lets pass.
 */
export function authorize(exchange: Consulted): Permitted {
  exchange.enter('authorize');
  judge(exchange, askedOf(exchange));
  exchange.permitted = true;
  return narrowed(exchange, isPermitted);
}

/** The request as rules see it. */
export function askedOf(exchange: Authenticated): AuthorizationRequest {
  const { head, caller } = exchange.server;
  const { defaults } = exchange.policy;
  return {
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
}

/** Of this thread: what its listeners refuse costs together. */
const explanations = new SecondsBudget();

/** Decides, records what enforces nothing, and refuses. */
export function judge(passage: Passage, asked: AuthorizationRequest): void {
  const { authorizer } = passage.policy;
  const decision = authorizer.decide(asked);
  const { audited, trial } = authorizer.observe?.(decision, asked) ?? NOTHING_OBSERVED;
  if (audited !== undefined) passage.audited = `${audited.policy} rule ${audited.index}`;
  settleDecision(passage, withTrial(authorizer.explain(decision, asked, explanations), trial), decision);
  if (trial?.kind !== 'deny') return;
  const { policy, rule, reason } = authorizer.explain(trial, asked, explanations);
  const finding = { code: trial.code, reason: `on trial: would be refused: ${reason}`, facts: { policy, rule } };
  passage.audit(finding, trial);
}

/** A refusal that the policies on trial would not have made says so. */
function withTrial(decision: AuthorizationDecision, trial: AuthorizationDecision | undefined): AuthorizationDecision {
  if (decision.kind === 'allow' || trial?.kind !== 'allow') return decision;
  return { ...decision, reason: `${decision.reason}; on trial: would be allowed: ${trial.reason}` };
}

const NOTHING_OBSERVED = { audited: undefined, trial: undefined };

/** Records a decision; a denial throws in Enforce mode and is let pass, recorded, in Audit. `by`: it, with what decided alone. */
function settleDecision(passage: Passage, decision: AuthorizationDecision, by: AuthorizationDecision): void {
  if (passage.decision !== 'audit') {
    // what would have been refused before stays what is told
    passage.policyName = decision.policy;
    passage.rule = decision.rule;
    passage.reason = decision.reason;
  }
  if (decision.kind === 'allow') return;
  const facts = { policy: decision.policy, rule: decision.rule };
  if (passage.policy.defaults.mode === 'Enforce') throw new Refusal(decision.code, decision.reason, facts);
  passage.audit({ code: decision.code, reason: decision.reason, facts }, by);
}
