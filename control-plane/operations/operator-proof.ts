import type { Metadata } from '@grpc/grpc-js';
import { bearerToken } from '../grpc/bearer-token.ts';
import { refusedBy } from '../grpc/refuse-call.ts';
import type { OperatorGrant } from '../tokens/token-record.ts';
import type { TokenStore } from '../tokens/token-store.ts';

/** What the operator's token of the caller stands for, if it is valid now; throws CallRefusal otherwise. */
export async function proveOperator(tokens: TokenStore | undefined, metadata: Metadata): Promise<OperatorGrant> {
  if (tokens === undefined) {
    throw refusedBy(
      'tokens_not_taken',
      'this control plane takes no operator tokens (tokens.directory is not set); in a cluster, use --kubeconfig',
    );
  }
  const [authorization] = metadata.get('authorization');
  if (authorization === undefined) {
    throw refusedBy('proof_missing', "an operator's token is needed; `lateral token --operator` issues one");
  }
  const verification = await tokens.verifyOperator(bearerToken(authorization.toString()));
  if (verification.kind === 'invalid') throw refusedBy(verification.code, verification.reason);
  return verification.grant;
}
