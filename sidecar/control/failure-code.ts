import { status } from '@grpc/grpc-js';
import { callCode, callFailure } from './control-endpoint.ts';
import { UnfitCertificate } from './request-certificate.ts';

/** There is nothing by which the sidecar could prove who it is. */
export class NoProof extends Error {}

/** Neither the certificate nor the token served: the code is that of the refused certificate, the reason tells both. */
export class BothProofsRefused extends Error {
  constructor(byCertificate: unknown, byToken: unknown) {
    super(`by certificate: ${callFailure(byCertificate)}; by token: ${callFailure(byToken)}`, { cause: byCertificate });
  }
}

/** The control plane has answered that the proof it was shown proves nothing. */
export function isProofRefused(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === status.UNAUTHENTICATED;
}

/** The kind of a failed renewal: the code by which the control plane refused, else what became of the call. */
export function failureCode(error: unknown): string {
  if (error instanceof BothProofsRefused) return failureCode(error.cause);
  if (error instanceof NoProof) return 'no_proof';
  if (error instanceof UnfitCertificate) return 'unfit_certificate';
  const { code } = callCode(error);
  if (code !== undefined) return code;
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'number') return 'other';
  return status[error.code]?.toLowerCase() ?? 'other';
}
