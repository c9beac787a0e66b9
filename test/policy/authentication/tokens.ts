import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { boundTokenRules, compileAuthentication } from '#policy/authentication/compile-authentication.ts';
import type { Judgement, TokenJudge, TokenVerifier } from '#policy/authentication/judge-tokens.ts';
import { verifySignature } from '#policy/authentication/verify-signature.ts';
import { requestAuthenticationKind } from '#policy/resource/kinds/request-authentication.ts';

export const ISSUER = 'https://issuer.example';
/** Seconds since the epoch at which the tests live. */
export const NOW_S = 1_800_000_000;

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { name: 'orders-1', namespace: 'shop', serviceAccount: 'orders', labels: { app: 'orders' } };

export interface Signer {
  /** The public JWK. */
  readonly jwk: { readonly [member: string]: unknown };
  sign(claims: { readonly [claim: string]: unknown }, header?: { readonly [name: string]: unknown }): Promise<string>;
}

export async function signer(alg = 'ES256', kid: string | undefined = 'k1'): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), alg, ...(kid === undefined ? {} : { kid }) };
  return {
    jwk,
    sign: (claims, header = {}) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }), ...header })
        .sign(privateKey),
  };
}

export function jwks(...signers: readonly Pick<Signer, 'jwk'>[]): string {
  return JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });
}

/** A token of these parts, whoever signed it. */
export function compact(header: unknown, payload: unknown, signature = 'c2lnbmF0dXJl'): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(payload)}.${signature}`;
}

/** Judges by inline keys alone, and remembers nothing. */
export const FORGETFUL: TokenVerifier = {
  nowMs: () => NOW_S * 1_000,
  recall: () => undefined,
  verify: async (token, text, source) =>
    source.kind === 'inline'
      ? verifySignature(token, text, source.keys)
      : { code: 'issuer_keys_unavailable', reason: source.url },
};

/** The judge of a workload of namespace shop; each list is the `jwtRules` of one resource there. */
export function judgeOf(verifier: TokenVerifier, ...policies: readonly (readonly unknown[])[]): TokenJudge {
  const problems: string[] = [];
  const context = {
    fail: (path: unknown, _code: unknown, message: string) => problems.push(`${path}: ${message}`),
    warn: () => {},
  };
  const resources = policies.flatMap((jwtRules, index) => {
    const spec = requestAuthenticationKind.spec.read({ jwtRules }, ['spec'], context);
    const header = { apiVersion: 'security.istio.io/v1', kind: 'RequestAuthentication', namespace: 'shop' };
    return spec === undefined ? [] : [{ ...header, name: `jwt-${index}`, spec }];
  });
  if (problems.length > 0) throw new Error(problems.join('\n'));
  const judge = compileAuthentication(boundTokenRules(resources, WORKLOAD, MESH), verifier);
  if (judge === undefined) throw new Error('no rules');
  return judge;
}

/** `allowed ISSUER/SUBJECT`, `allowed` where there is no token, or the code. */
export function outcome(judgement: Judgement): string {
  if (judgement.kind === 'refused') return judgement.code;
  return judgement.claims === undefined ? 'allowed' : `allowed ${judgement.claims.principal}`;
}
