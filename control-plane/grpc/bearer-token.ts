import { status } from '@grpc/grpc-js';
import { CallRefusal } from './refuse-call.ts';

/** The token of `Bearer TOKEN`; throws CallRefusal where it is not that. */
export function bearerToken(authorization: string): string {
  const [, token] = /^Bearer (\S{1,512})$/i.exec(authorization) ?? [];
  if (token !== undefined) return token;
  throw new CallRefusal(status.UNAUTHENTICATED, 'the authorization metadata is not of the form "Bearer TOKEN"');
}
