import { Refusal } from '#policy/error/refusal.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';
import type { ConsultedTcp, IdentifiedTcp, PermittedTcp } from '../exchange/tcp-passage.ts';
import { judge } from './authorize.ts';

const NO_HEADERS: FlatHeaders = [];

/**
 * Decides whether the caller may connect: what rules say of HTTP allows nothing here, and keeps no DENY rule from
 * matching. Refuses: the codes of authorize.ts; tcp_not_validated, where requests to the workload are to be validated
 * (Enforce), because these bytes cannot be. In Audit mode it records and lets pass.
 */
export function authorizeTcp(passage: ConsultedTcp): PermittedTcp {
  passage.enter('authorize');
  const { validation, defaults } = passage.policy;
  judge(passage, askedOfTcp(passage));
  if (validation !== undefined) {
    const reason = `the connection is not HTTP, and APIValidationPolicy ${validation.policy} binds the workload`;
    const facts = { policy: validation.policy };
    if (validation.isEnforced && defaults.mode === 'Enforce') throw new Refusal('tcp_not_validated', reason, facts);
    passage.audit({ code: 'tcp_not_validated', reason, facts });
  }
  return Object.assign(passage, { permitted: true as const });
}

/** A connection as rules see it. */
export function askedOfTcp(passage: IdentifiedTcp): AuthorizationRequest {
  return {
    source: passage.source,
    method: undefined,
    path: undefined,
    host: undefined,
    headers: NO_HEADERS,
    port: passage.port,
    sourceIp: passage.connection.caller.address,
    remoteIp: passage.connection.caller.address,
    destinationIp: passage.destinationIp,
    sni: passage.connection.caller.serverName,
    claims: undefined,
  };
}
