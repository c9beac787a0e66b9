import { randomUUID } from 'node:crypto';
import type { ExternalMatch } from '#policy/authorization/external-rules.ts';
import { headerValue } from '#policy/http/flat-headers.ts';
import type { CheckedBody, CheckedHttp } from '../authorization/checked-request.ts';
import { changedHeaders } from '../authorization/header-changes.ts';
import type { Providers } from '../authorization/providers.ts';
import { changedQuery } from '../authorization/query-changes.ts';
import type { RequestChanges } from '../authorization/verdict.ts';
import { type Authenticated, type Consulted, isConsulted, narrowed } from '../exchange/exchange.ts';
import { requestTarget } from '../exchange/request-target.ts';
import { traceparentOf } from '../telemetry/trace-context.ts';
import { askedOf } from './authorize.ts';
import { checkedBody } from './checked-body.ts';
import { clientCertificate } from './client-certificate.ts';
import { connectionOf, settleMatch } from './settle-match.ts';

/**
 * Asks the providers whose CUSTOM policies say so; each of them must allow the request, which goes on as they changed it.
 * Refuses: authorization_provider_denied (as the provider says), authorization_provider_unavailable, authorization_provider_unknown,
 * authorization_condition_failed, body_too_large, overloaded; in Audit mode it records and goes on. A promise only where somebody is asked.
 */
export function consult(
  exchange: Authenticated,
  providers: Providers,
  ownIdentity: string,
): Consulted | Promise<Consulted> {
  const { external } = exchange.policy;
  if (external === undefined) return consulted(exchange);
  exchange.enter('consult');
  const matches = external.matches(askedOf(exchange));
  return matches.length === 0 ? consulted(exchange) : consultAll(exchange, matches, providers, ownIdentity);
}

async function consultAll(
  exchange: Authenticated,
  matches: readonly ExternalMatch[],
  providers: Providers,
  ownIdentity: string,
): Promise<Consulted> {
  for (const match of matches) {
    const tell = (body: CheckedBody | undefined) =>
      settleMatch(exchange, match, providers, () => ({
        ...connectionOf(exchange, exchange.server.caller, ownIdentity),
        http: checkedHttp(exchange, ownIdentity, body),
      }));
    const changes = await (match.kind === 'refuse' ? tell(undefined) : checkedBody(exchange, match, tell));
    if (changes !== undefined) change(exchange, changes);
  }
  return consulted(exchange);
}

function consulted(exchange: Authenticated): Consulted {
  exchange.isConsulted = true;
  return narrowed(exchange, isConsulted);
}

function checkedHttp(exchange: Authenticated, ownIdentity: string, body: CheckedBody | undefined): CheckedHttp {
  const { server, host, headers, trace } = exchange;
  const certificate = clientCertificate(exchange, ownIdentity);
  return {
    id: headerValue(headers, 'x-request-id') ?? randomUUID(),
    method: server.head.method,
    host,
    target: requestTarget(exchange),
    version: server.head.version,
    isSecure: certificate !== undefined,
    headers: certificate === undefined ? headers : [...headers, 'x-forwarded-client-cert', certificate],
    traceparent: traceparentOf(trace),
    body,
    size: server.body.isPresent ? (server.body.declaredLength ?? -1) : 0,
  };
}

function change(exchange: Authenticated, { headers, removed, query, toCaller }: RequestChanges): void {
  exchange.headers = changedHeaders(exchange.headers, headers, removed);
  if (query !== undefined) exchange.query = changedQuery(exchange.query, query);
  if (toCaller.length > 0) exchange.toCaller = [...exchange.toCaller, ...toCaller];
}
