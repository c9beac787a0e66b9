import { status } from '@grpc/grpc-js';
import { isRecord } from '#policy/schema/schema.ts';
import { CallRefusal } from '../grpc/refuse-call.ts';
import { TOKEN_AUDIENCE } from '../injection/names.ts';
import { textOf } from './api-object.ts';
import type { KubernetesClient } from './client/kubernetes-client.ts';

const REVIEW_TIMEOUT_MS = 10_000;
/** Reviews under way at a time, and those that wait for their turn; more are sent away to come again. */
export const MAX_REVIEWS = 16;
export const MAX_WAITING_REVIEWS = 1_024;

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

/** Throws CallRefusal: UNAUTHENTICATED for a token that proves nothing, UNAVAILABLE where that cannot be found out. */
export type ReviewToken = (token: string) => Promise<ReviewedCaller>;

/** Asks the API server about each token (TokenReview): it knows of expiry, and of pods that are gone. */
export function createTokenReview(client: KubernetesClient): ReviewToken {
  let running = 0;
  const waiting: (() => void)[] = [];

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
      throw new CallRefusal(status.UNAVAILABLE, `the Kubernetes API cannot review the token now: ${why}`);
    }
    return callerOf(answer);
  }

  return async (token) => {
    if (running >= MAX_REVIEWS) {
      if (waiting.length >= MAX_WAITING_REVIEWS) {
        throw new CallRefusal(status.UNAVAILABLE, `${MAX_WAITING_REVIEWS} tokens wait to be reviewed; come again`);
      }
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    running += 1;
    try {
      return await review(token);
    } finally {
      running -= 1;
      waiting.shift()?.();
    }
  };
}

function callerOf(answer: unknown): ReviewedCaller {
  const result = isRecord(answer) && isRecord(answer.status) ? answer.status : {};
  const { authenticated, audiences, error } = result;
  if (authenticated !== true) {
    const why = typeof error === 'string' && error !== '' ? error : 'it does not know it';
    throw refused(`the Kubernetes API refuses the token: ${why}`);
  }
  // An API server that knows nothing of audiences leaves them out, and has not compared them.
  if (!Array.isArray(audiences) || !audiences.includes(TOKEN_AUDIENCE)) {
    throw refused(`the token is not for the audience ${TOKEN_AUDIENCE}; mount a projected token with it`);
  }
  const user = isRecord(result.user) ? result.user : {};
  const [, namespace, serviceAccount] = SERVICE_ACCOUNT.exec(textOf(user.username)) ?? [];
  if (namespace === undefined || serviceAccount === undefined) {
    throw refused("the token is not a service account's; a workload's identity is that of its service account");
  }
  const extra = isRecord(user.extra) ? user.extra : {};
  const [podName, podUid] = [firstOf(extra[POD_NAME]), firstOf(extra[POD_UID])];
  if (podName === '' || podUid === '') {
    throw refused('the token is not bound to a pod; mount a projected token, and make none by `kubectl create token`');
  }
  return { namespace, serviceAccount, podName, podUid };
}

function firstOf(values: unknown): string {
  return Array.isArray(values) ? textOf(values[0]) : '';
}

function refused(reason: string): CallRefusal {
  return new CallRefusal(status.UNAUTHENTICATED, reason);
}
