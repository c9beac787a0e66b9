import { status } from '@grpc/grpc-js';
import { callCode } from './control-endpoint.ts';
import { UnfitCertificate } from './request-certificate.ts';

/** There is nothing by which the sidecar could prove who it is. */
export class NoProof extends Error {}

/** The kind of a failed renewal: the code by which the control plane refused, else what became of the call. */
export function failureCode(error: unknown): string {
  if (error instanceof NoProof) return 'no_proof';
  if (error instanceof UnfitCertificate) return 'unfit_certificate';
  const { code } = callCode(error);
  if (code !== undefined) return code;
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'number') return 'other';
  return status[error.code]?.toLowerCase() ?? 'other';
}
