import { type JsonWebToken, quoted, type TokenRefusal } from './json-web-token.ts';

/** How far the clocks of issuer and sidecar may be apart. Source: Envoy, jwt_authn (`clock_skew_seconds`). */
export const CLOCK_SKEW_S = 60;

/** Why the token is not good at this time (RFC 7519 §4.1.4 to 4.1.6); undefined: it is. A token without `exp` has no end, as in Istio. */
export function timeRefusal(token: JsonWebToken, nowMs: number): TokenRefusal | undefined {
  const now = Math.floor(nowMs / 1_000);
  const { expiresAt, notBefore, issuedAt } = token;
  if (expiresAt !== undefined && now > expiresAt + CLOCK_SKEW_S) {
    return {
      code: 'jwt_expired',
      reason: `good until ${expiresAt} (exp); it is ${now}, and ${CLOCK_SKEW_S} s are given`,
    };
  }
  for (const [name, time] of [
    ['nbf', notBefore],
    ['iat', issuedAt],
  ] as const) {
    if (time === undefined || now + CLOCK_SKEW_S >= time) continue;
    const reason = `good from ${time} (${name}) on; it is ${now}, and ${CLOCK_SKEW_S} s are given`;
    return { code: 'jwt_not_yet_valid', reason };
  }
  return undefined;
}

/**
 * True where one of the audiences is accepted. Source: Envoy's jwt_verify_lib: `https://`, `http://` and one last slash are
 * no part of an audience; without any accepted ones all are.
 */
export function isForAudience(token: JsonWebToken, accepted: ReadonlySet<string> | undefined): boolean {
  return accepted === undefined || token.audiences.some((audience) => accepted.has(sanitizedAudience(audience)));
}

export function sanitizedAudience(audience: string): string {
  const bare = audience.replace(/^https?:\/\//, '');
  return bare.endsWith('/') ? bare.slice(0, -1) : bare;
}

/** Audiences that a reason names. */
const MAX_NAMED = 4;

export function audienceRefusal(token: JsonWebToken, accepted: readonly string[]): TokenRefusal {
  const named = (audiences: readonly string[]) =>
    audiences.length === 0 ? 'nobody' : audiences.slice(0, MAX_NAMED).map(quoted).join(', ');
  const reason = `it is for ${named(token.audiences)}; accepted: ${named(accepted)}`;
  return { code: 'jwt_audience_refused', reason };
}
