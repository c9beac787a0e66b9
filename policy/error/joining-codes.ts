import { type CodeEntry, GRPC } from './code-entry.ts';

/**
 * Why a sidecar got no certificate. Both sides log the code: the control plane with `signing_refused`, the sidecar with
 * `waiting_for_certificate` or `renewal_failed`.
 */
export const JOINING_CODES = {
  proof_missing: {
    ...joining(GRPC.unauthenticated, 'Proof of identity required'),
    meaning: 'Neither a token nor a certificate of this mesh was presented.',
    remedy: 'Give the sidecar a token (controlPlane.tokenFile), or a stateDirectory that holds its certificate.',
  },
  token_malformed: {
    ...joining(GRPC.unauthenticated, 'Malformed token'),
    meaning:
      'What was presented is no token: neither `lateral.ID.SECRET` nor, in Kubernetes, the token of a service account.',
    remedy: 'Look at the token file: it holds one token and nothing else.',
  },
  token_unknown: {
    ...joining(GRPC.unauthenticated, 'Unknown token'),
    meaning:
      'Nobody here issued this token, or it expired and was forgotten. A wrong secret under a known ID is no more than this.',
    remedy: 'Issue one with `lateral token`, with the configuration of this control plane.',
  },
  token_used: {
    ...joining(GRPC.unauthenticated, 'Token used'),
    meaning: 'The join token is good for one use and has had it.',
    remedy:
      'Issue another. A sidecar that restarts without stateDirectory needs one that is `--reusable`. If nobody of yours used it, revoke the identity.',
  },
  token_expired: {
    ...joining(GRPC.unauthenticated, 'Token expired'),
    meaning: 'The token was good until a time that has passed.',
    remedy: 'Issue another (`--ttl`); in Kubernetes kubelet renews it. Compare the clocks of both machines.',
  },
  token_revoked: {
    ...joining(GRPC.unauthenticated, 'Token revoked'),
    meaning: 'An operator has revoked the token.',
    remedy: '`lateral token --list` shows it. Issue another if the workload may join.',
  },
  token_wrong_audience: {
    ...joining(GRPC.unauthenticated, 'Token for another audience'),
    meaning: 'The token of Kubernetes was made for somebody else than the control plane of Lateral.',
    remedy: 'Mount a projected token with `audience: lateral-control-plane`, as injection does.',
  },
  token_wrong_kind: {
    ...joining(GRPC.unauthenticated, 'Token of another kind'),
    meaning:
      "The token is good, and not for this: an operator's in place of a workload's, a workload's in place of an operator's, or one of Kubernetes that is bound to no pod.",
    remedy: 'Issue the other kind: with `lateral token --operator`, or without.',
  },
  tokens_not_taken: {
    ...joining(GRPC.unauthenticated, 'Tokens not taken'),
    meaning: 'This control plane takes no tokens of this kind: tokens.directory is not set.',
    remedy: 'Set tokens.directory in its configuration; in Kubernetes, use the projected token of the pod.',
  },
  token_review_unavailable: {
    ...joining(GRPC.unavailable, 'Token cannot be reviewed now'),
    meaning: 'The Kubernetes API, which knows the token, does not answer, or too many tokens wait for it.',
    remedy: 'The sidecar tries again. Look at the API server if it stays.',
  },
  identity_mismatch: {
    ...joining(GRPC.permissionDenied, 'Token of another identity'),
    meaning: 'The token is for another identity than the one that the sidecar says it has.',
    remedy: "Compare the workload's namespace and serviceAccount with those of the token; the reason names both.",
  },
  identity_reserved: {
    ...joining(GRPC.permissionDenied, 'Reserved identity'),
    meaning: "The identity is the control plane's own, which is never signed for a caller.",
    remedy: 'Run the workload under another service account, in another namespace than the control plane.',
  },
  certificate_not_its_own: {
    ...joining(GRPC.permissionDenied, 'Certificate of another identity'),
    meaning: 'A certificate was presented to get one for another identity: it renews only itself.',
    remedy: 'Give each workload a stateDirectory of its own, and a token of its own.',
  },
  csr_malformed: {
    ...joining(GRPC.invalidArgument, 'Malformed certificate request'),
    meaning: 'The certificate request is not PKCS#10 in DER, or larger than one of an accepted key can be.',
    remedy: 'Sidecars make their own. Find out who else asks.',
  },
  csr_signature_invalid: {
    ...joining(GRPC.invalidArgument, 'Certificate request not signed by its key'),
    meaning: 'The certificate request is not signed by the key that it brings: the caller has not proven to hold it.',
    remedy: 'Sidecars make their own. Find out who else asks, or what changes messages on their way.',
  },
  csr_key_not_accepted: {
    ...joining(GRPC.invalidArgument, 'Key not accepted'),
    meaning: 'The key of the certificate request is not of P-256 or P-384, by the name of its curve and uncompressed.',
    remedy: 'Use such a key: `openssl ecparam -name prime256v1 -genkey`.',
  },
  csr_identity_mismatch: {
    ...joining(GRPC.permissionDenied, 'Certificate request for another identity'),
    meaning: 'The certificate request names, as a URI of its subject, another identity than the caller has proven.',
    remedy: 'Leave the name out: the identity comes from the proof, and from nothing else.',
  },
  signing_rate_limited: {
    ...joining(GRPC.resourceExhausted, 'Too many certificates asked for'),
    meaning:
      'The caller asks for certificates, or presents tokens, more often than it may; the reason names who, and the bound.',
    remedy: 'Look for a sidecar that starts again and again, or for somebody who has its token or certificate.',
  },
  signing_failed: {
    ...joining(GRPC.internal, 'Not signed'),
    meaning: 'The control plane failed to sign, or to find out whom the proof proves. Nothing was issued.',
    remedy: "The control plane's log has `signing_failed` with the error.",
  },
} as const satisfies { readonly [code: string]: CodeEntry };

/** Of a refused call: no HTTP answer tells it. */
function joining(grpcStatus: number, title: string) {
  return { family: 'joining', status: 0, grpcStatus, title } as const;
}
