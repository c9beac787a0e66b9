import { isRecord } from '../schema/schema.ts';
import type { RequestClaims } from '../workload-policy.ts';

/** What authorization sees of the claims of a verified token, or of claims that are given in its place (`lateral authz`). */
export function requestClaims(payload: { readonly [claim: string]: unknown }): RequestClaims {
  const { iss, sub, aud, azp } = payload;
  return {
    principal: `${textOf(iss) ?? ''}/${textOf(sub) ?? ''}`,
    audiences: (Array.isArray(aud) ? aud : [aud]).flatMap((one) => textOf(one) ?? []),
    presenter: textOf(azp),
    all: payload,
  };
}

/**
 * The claim at this path. Source: Istio, `outputClaimToHeaders` and `request.auth.claims`, where dots or brackets lead into
 * objects.
 */
export function claimAt(payload: { readonly [claim: string]: unknown }, path: readonly string[]): unknown {
  let value: unknown = payload;
  for (const step of path) {
    if (!isRecord(value) || !Object.hasOwn(value, step)) return undefined;
    value = value[step];
  }
  return value;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
