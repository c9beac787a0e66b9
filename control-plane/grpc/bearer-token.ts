import { refusedBy } from './refuse-call.ts';

/** Longest token: a projected one of Kubernetes is about 1 KB. */
const MAX_TOKEN_LENGTH = 16_384;

/** The token of `Bearer TOKEN`; throws CallRefusal where it is not that. */
export function bearerToken(authorization: string): string {
  const [, token] = /^Bearer (\S+)$/i.exec(authorization) ?? [];
  if (token !== undefined && token.length <= MAX_TOKEN_LENGTH) return token;
  throw refusedBy('token_malformed', 'the authorization metadata is not of the form "Bearer TOKEN"');
}
