import { type CodeEntry, GRPC } from './code-entry.ts';

/** The token that a request brings is not good: RFC 6750 §3.1 `invalid_token`, whatever was wrong with it. */
function unauthenticated(meaning: string, remedy: string) {
  return {
    family: 'refused',
    status: 401,
    grpcStatus: GRPC.unauthenticated,
    title: 'Unauthorized',
    meaning,
    remedy,
  } as const satisfies CodeEntry;
}

/** Why a JSON Web Token that RequestAuthentication looks at was refused, in the order in which it is judged. */
export const TOKEN_CODES = {
  jwt_too_many: unauthenticated(
    'The request brings more tokens, in the places that RequestAuthentication names, than are judged of one request.',
    'Send one. The reason names the limit.',
  ),
  jwt_too_large: unauthenticated(
    'The token is longer than any that is judged.',
    'Have the issuer put less into it. The reason names the limit.',
  ),
  jwt_malformed: unauthenticated(
    'What stands where RequestAuthentication looks for a token is no signed JSON Web Token: not three parts of base64url, not JSON in the first two, a claim of the wrong type, or a critical extension.',
    'The reason names the part. Tokens that are encrypted, or opaque, cannot be judged here.',
  ),
  jwt_algorithm_refused: unauthenticated(
    'The token names no algorithm (`none`), or one that is not accepted: RS, PS, ES and HS with SHA-2, and EdDSA are.',
    'Have the issuer sign with one of these. Tokens that are not signed prove nothing.',
  ),
  jwt_issuer_unknown: unauthenticated(
    'No RequestAuthentication that binds the workload names the issuer of the token for the place where it stood.',
    'Compare the issuer that the reason names with `jwtRules[].issuer`: they must be the same to the letter, a last slash included.',
  ),
  jwt_expired: unauthenticated(
    'The token was good until a time (`exp`) that has passed by more than 60 s.',
    'Get another. If it should still be good, compare the clocks of issuer and sidecar.',
  ),
  jwt_not_yet_valid: unauthenticated(
    'The token is good, or was issued, only at a time (`nbf`, `iat`) that is more than 60 s ahead.',
    'Compare the clocks of issuer and sidecar.',
  ),
  jwt_audience_refused: unauthenticated(
    'The token is for others: none of its audiences (`aud`) is one that `jwtRules[].audiences` names.',
    'The reason names both. Ask for a token for this service, or add the audience.',
  ),
  jwt_key_unknown: unauthenticated(
    'No key of the issuer fits the token: none has its `kid`, or none of those is for its algorithm.',
    'The keys were asked for again if that had not been done within 30 s. Compare `kid` and `alg`, which the reason names, with what the issuer publishes.',
  ),
  jwt_signature_invalid: unauthenticated(
    'The token was not signed by the key of its issuer, or was altered.',
    'If it is no attack: look for two issuers of one name, or for keys that were replaced under the same `kid`.',
  ),
  issuer_keys_unavailable: {
    family: 'unavailable',
    status: 503,
    grpcStatus: GRPC.unavailable,
    title: 'Service unavailable',
    meaning:
      'The keys of the issuer cannot be had, and none are known from before, so that its tokens can be neither accepted nor refused. Requests without a token go on.',
    remedy:
      'The reason says what became of the last attempt. Look whether the sidecar reaches `jwksUri`; with a stateDirectory the last good keys outlive a restart.',
  },
} as const satisfies { readonly [code: string]: CodeEntry };

export type TokenCode = keyof typeof TOKEN_CODES;
