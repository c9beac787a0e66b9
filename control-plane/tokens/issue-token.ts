import { parseSpiffeId } from '#policy/identity/spiffe-id.ts';
import { controlPlaneIdentity } from '../authority/control-plane-certificate.ts';
import type { ControlPlaneConfiguration } from '../configuration.ts';
import type { OperatorGrant, TokenGrant } from './token-record.ts';
import { DEFAULT_TOKEN_TTL_MS, MAX_TOKEN_TTL_MS, MIN_TOKEN_TTL_MS, openTokenStore } from './token-store.ts';

/** The request for a token is wrong; the message says what to change. */
export class TokenRefused extends Error {}

export interface JoinTokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly isReusable: boolean;
  /** Default DEFAULT_TOKEN_TTL_MS. */
  readonly ttlMs: number | undefined;
}

/** Issues a join token into the control plane's directory; the control plane need not run. */
export async function issueJoinToken(
  configuration: ControlPlaneConfiguration,
  { namespace, serviceAccount, isReusable, ttlMs }: JoinTokenRequest,
): Promise<string> {
  const { mesh } = configuration;
  const parsed = parseSpiffeId(`spiffe://${mesh.trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
  if (parsed.kind === 'invalid') {
    throw new TokenRefused(
      `namespace ${namespace} and service account ${serviceAccount} make no identity: ${parsed.reason}`,
    );
  }
  if (parsed.id.uri === controlPlaneIdentity(mesh).uri) {
    throw new TokenRefused(`${parsed.id.uri} is the control plane's own identity; no workload gets it`);
  }
  return issue(configuration, ttlMs, (expiresAtMs) => ({ namespace, serviceAccount, isReusable, expiresAtMs }));
}

/** Issues a token for operators: good for the Operations service until it expires, and for nothing else. */
export function issueOperatorToken(
  configuration: ControlPlaneConfiguration,
  ttlMs: number | undefined,
  mayChangeAuthority = true,
): Promise<string> {
  const further = mayChangeAuthority ? { mayChangeAuthority } : {};
  return issue(configuration, ttlMs, (expiresAtMs) => ({ isOperator: true, expiresAtMs, ...further }));
}

async function issue(
  { tokenDirectory }: ControlPlaneConfiguration,
  ttlMs = DEFAULT_TOKEN_TTL_MS,
  grantUntil: (expiresAtMs: number) => TokenGrant | OperatorGrant,
): Promise<string> {
  if (tokenDirectory === undefined) throw new TokenRefused('the configuration has no tokens.directory; add it');
  if (ttlMs < MIN_TOKEN_TTL_MS || ttlMs > MAX_TOKEN_TTL_MS) {
    throw new TokenRefused(
      `a time to live of ${ttlMs} ms is outside of ${MIN_TOKEN_TTL_MS} to ${MAX_TOKEN_TTL_MS} ms (1s to 30d)`,
    );
  }
  const store = await openTokenStore(tokenDirectory, Date.now);
  return store.issue(grantUntil(Date.now() + ttlMs));
}
