import { parseSpiffeId } from '#policy/identity/spiffe-id.ts';
import { controlPlaneIdentity } from '../authority/control-plane-certificate.ts';
import type { ControlPlaneConfiguration } from '../configuration.ts';
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
  { mesh, tokenDirectory }: ControlPlaneConfiguration,
  { namespace, serviceAccount, isReusable, ttlMs = DEFAULT_TOKEN_TTL_MS }: JoinTokenRequest,
): Promise<string> {
  if (tokenDirectory === undefined) throw new TokenRefused('the configuration has no tokens.directory; add it');
  const parsed = parseSpiffeId(`spiffe://${mesh.trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
  if (parsed.kind === 'invalid') {
    throw new TokenRefused(
      `namespace ${namespace} and service account ${serviceAccount} make no identity: ${parsed.reason}`,
    );
  }
  if (parsed.id.uri === controlPlaneIdentity(mesh).uri) {
    throw new TokenRefused(`${parsed.id.uri} is the control plane's own identity; no workload gets it`);
  }
  if (ttlMs < MIN_TOKEN_TTL_MS || ttlMs > MAX_TOKEN_TTL_MS) {
    throw new TokenRefused(
      `a time to live of ${ttlMs} ms is outside of ${MIN_TOKEN_TTL_MS} to ${MAX_TOKEN_TTL_MS} ms (1s to 30d)`,
    );
  }
  const store = await openTokenStore(tokenDirectory, Date.now);
  return store.issue({ namespace, serviceAccount, isReusable, expiresAtMs: Date.now() + ttlMs });
}
