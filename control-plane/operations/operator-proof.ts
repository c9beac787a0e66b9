import { type Metadata, status } from '@grpc/grpc-js';
import { bearerToken } from '../grpc/bearer-token.ts';
import { CallRefusal } from '../grpc/refuse-call.ts';
import type { TokenStore } from '../tokens/token-store.ts';

/** Holds if the caller shows an operator's token that is valid now; throws CallRefusal otherwise. */
export async function proveOperator(tokens: TokenStore | undefined, metadata: Metadata): Promise<void> {
  if (tokens === undefined) {
    throw new CallRefusal(
      status.UNAUTHENTICATED,
      'this control plane takes no operator tokens (tokens.directory is not set); in a cluster, use --kubeconfig',
    );
  }
  const [authorization] = metadata.get('authorization');
  if (authorization === undefined) {
    throw new CallRefusal(
      status.UNAUTHENTICATED,
      "an operator's token is needed; `lateral token --operator` issues one",
    );
  }
  const verification = await tokens.verifyOperator(bearerToken(authorization.toString()));
  if (verification.kind === 'invalid') throw new CallRefusal(status.UNAUTHENTICATED, verification.reason);
}
