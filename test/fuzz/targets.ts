import { certificate } from './certificate.ts';
import type { FuzzTarget } from './fuzz-target.ts';
import { h1Request } from './h1-request.ts';
import { h1Response } from './h1-response.ts';
import { h2ClientSession, h2ServerSession } from './h2-sessions.ts';

/** All of them: `npm run fuzz -- --target NAME`. */
export const TARGETS: readonly FuzzTarget[] = [h1Request, h1Response, h2ServerSession, h2ClientSession, certificate];
