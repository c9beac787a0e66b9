const UNREACHABLE: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'ABORT_ERR',
]);
/** As node:tls names what OpenSSL found of a chain. */
const UNTRUSTED: ReadonlySet<unknown> = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'CERT_SIGNATURE_FAILURE',
]);

/** What an operator does about a refresh that failed. */
export function remedyOf(error: unknown): string {
  const code = codeOf(error);
  if (UNREACHABLE.has(code)) return 'see whether the URL can be reached from here; the last good bundle stays in force';
  if (UNTRUSTED.has(code)) {
    return "the server's certificate is of no root that is known; had its roots been replaced meanwhile, ask its operators for the present bundle and put it in `bundle`";
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') return 'compare the clocks of both sides';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'the certificate is of another name than the one in the URL';
  return 'compare `endpoint` with what its operators say of it; were their mesh made anew, put its present bundle in `bundle`';
}

function codeOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error) return error.code;
  return codeOf(error.cause);
}
