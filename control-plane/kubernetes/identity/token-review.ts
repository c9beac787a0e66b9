import { createHash } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { LRUCache } from 'lru-cache';
import { isRecord } from '#policy/schema/schema.ts';
import { Allowance, type AllowanceLimits } from '../../grpc/allowance.ts';
import { CallRefusal, refusedBy } from '../../grpc/refuse-call.ts';
import { TOKEN_AUDIENCE } from '../../injection/names.ts';
import { textOf } from '../api-object.ts';
import type { KubernetesClient } from '../client/kubernetes-client.ts';
import { ReviewTurns } from './review-turns.ts';

const REVIEW_TIMEOUT_MS = 10_000;
/** A token that proved nothing is not asked about again for this long: not for longer, since a pod may yet become known. */
export const REFUSAL_KEPT_MS = 5_000;
const MAX_KEPT_REFUSALS = 1_024;
/** A token that proved its pod proves it for so long yet: a pod that is gone has a certificate for much longer anyway. */
export const PROOF_KEPT_MS = 3_000;
const MAX_KEPT_PROOFS = 1_024;
/** Tokens of one address that may be under review, or have been to no avail of late. */
export const TOKENS_OF_ADDRESS: AllowanceLimits = { burst: 64, intervalMs: 3_000, callers: 4_096 };
/** Reviews of good tokens that cost a pod's address nothing: it needs one at its start, and who may make tokens makes any number. */
export const FREE_REVIEWS_OF_POD: AllowanceLimits = { burst: 32, intervalMs: 3_000, callers: 16_384 };

const WRONG_AUDIENCE = `the token is not for the audience ${TOKEN_AUDIENCE}; mount a projected token with it`;
const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;
const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';

/** Whom a token proves: the service account of a pod. */
export interface ReviewedCaller {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
}

/**
 * `address`: who presents it. Throws CallRefusal: UNAUTHENTICATED for a token that proves nothing, UNAVAILABLE where that cannot
 * be found out, RESOURCE_EXHAUSTED where the address has presented too many.
 */
export type ReviewToken = (token: string, address: string) => Promise<ReviewedCaller>;

/**
 * Asks the API server about each token (TokenReview): it knows of expiry, and of pods that are gone. Whoever reaches the port may
 * present tokens: what cannot be good is not asked about, nor what was judged just now, nor too many of one address or pod.
 */
export function createTokenReview(client: KubernetesClient, now: () => number = () => performance.now()): ReviewToken {
  const turns = new ReviewTurns();
  const ofAddress = new Allowance(TOKENS_OF_ADDRESS, now);
  const ofPod = new Allowance(FREE_REVIEWS_OF_POD, now);
  const clock = { ttlResolution: 0, perf: { now } };
  const refusals = new LRUCache<string, CallRefusal>({ ...clock, max: MAX_KEPT_REFUSALS, ttl: REFUSAL_KEPT_MS });
  const proofs = new LRUCache<string, ReviewedCaller>({ ...clock, max: MAX_KEPT_PROOFS, ttl: PROOF_KEPT_MS });
  /** By the token's hash, as the others: no more than have a turn or wait for one. */
  const underWay = new Map<string, Promise<ReviewedCaller>>();

  async function review(token: string): Promise<ReviewedCaller> {
    let answer: unknown;
    try {
      answer = await client.request('/apis/authentication.k8s.io/v1/tokenreviews', {
        method: 'POST',
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenReview',
          spec: { token, audiences: [TOKEN_AUDIENCE] },
        },
        timeoutMs: REVIEW_TIMEOUT_MS,
      });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw refusedBy('token_review_unavailable', `the Kubernetes API cannot review the token now: ${why}`);
    }
    return callerOf(answer);
  }

  /** What it costs the address is taken already. */
  async function judge(key: string, token: string, address: string): Promise<ReviewedCaller> {
    try {
      const caller = await turns.run(() => review(token));
      if (ofPod.take(caller.podUid)) ofAddress.giveBack(address);
      proofs.set(key, caller);
      return caller;
    } catch (error) {
      const isToken = error instanceof CallRefusal && error.code === status.UNAUTHENTICATED;
      if (isToken) refusals.set(key, error);
      else ofAddress.giveBack(address); // not for what the token is
      throw error;
    }
  }

  return async (token, address) => {
    requireAudience(token);
    const key = createHash('sha256').update(token).digest('base64');
    const refusal = refusals.get(key);
    if (refusal !== undefined) throw refusal;
    const known = proofs.get(key) ?? underWay.get(key);
    if (known !== undefined) return known;
    if (!ofAddress.take(address)) {
      const reason = `${address} presents more tokens than the ${TOKENS_OF_ADDRESS.burst} that may be asked about; come again`;
      throw refusedBy('signing_rate_limited', reason);
    }
    const judgement = judge(key, token, address).finally(() => underWay.delete(key));
    underWay.set(key, judgement);
    return judgement;
  };
}

/** Only the API server knows whether a token is good; which audience it claims can be read here (RFC 7519 §4.1.3). */
function requireAudience(token: string): void {
  const [, claims, signature] = token.split('.');
  const read = claims === undefined || signature === undefined ? undefined : jsonOf(claims);
  if (!isRecord(read)) throw refusedBy('token_malformed', 'the token is not one of a service account');
  const { aud } = read;
  if (aud !== TOKEN_AUDIENCE && !(Array.isArray(aud) && aud.includes(TOKEN_AUDIENCE))) {
    throw refusedBy('token_wrong_audience', WRONG_AUDIENCE);
  }
}

function jsonOf(base64url: string): unknown {
  try {
    return JSON.parse(Buffer.from(base64url, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}

function callerOf(answer: unknown): ReviewedCaller {
  const result = isRecord(answer) && isRecord(answer.status) ? answer.status : {};
  const { authenticated, audiences, error } = result;
  if (authenticated !== true) {
    const why = typeof error === 'string' && error !== '' ? error : 'it does not know it';
    // It tells of expiry only to who has a token that it made.
    throw refusedBy(
      /expired/i.test(why) ? 'token_expired' : 'token_unknown',
      `the Kubernetes API refuses the token: ${why}`,
    );
  }
  // An API server that knows nothing of audiences leaves them out, and has not compared them.
  if (!Array.isArray(audiences) || !audiences.includes(TOKEN_AUDIENCE)) {
    throw refusedBy('token_wrong_audience', WRONG_AUDIENCE);
  }
  const user = isRecord(result.user) ? result.user : {};
  const [, namespace, serviceAccount] = SERVICE_ACCOUNT.exec(textOf(user.username)) ?? [];
  if (namespace === undefined || serviceAccount === undefined) {
    throw refusedBy(
      'token_wrong_kind',
      "the token is not a service account's; a workload's identity is that of its service account",
    );
  }
  const extra = isRecord(user.extra) ? user.extra : {};
  const [podName, podUid] = [firstOf(extra[POD_NAME]), firstOf(extra[POD_UID])];
  if (podName === '' || podUid === '') {
    throw refusedBy(
      'token_wrong_kind',
      'the token is not bound to a pod; mount a projected token, and make none by `kubectl create token`',
    );
  }
  return { namespace, serviceAccount, podName, podUid };
}

function firstOf(values: unknown): string {
  return Array.isArray(values) ? textOf(values[0]) : '';
}
