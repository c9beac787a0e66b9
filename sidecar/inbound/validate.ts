import { Refusal } from '#policy/error/refusal.ts';
import type { BodyPlan, Finding } from '#policy/workload-policy.ts';
import { isValidated, narrowed, type Permitted, type Validated } from '../exchange/exchange.ts';
import { bufferBody } from '../http/buffered-body.ts';
import type { IncomingBody } from '../http/message.ts';
import { shareOf } from '../workers/thread-share.ts';

/** Bytes of request bodies in memory at once, all exchanges of this thread together; beyond it: overloaded. */
export const MAX_BUFFERED_BYTES = shareOf(64 * 1024 * 1024);

/** A body that is held in memory has come by then: a caller that dribbles must not keep memory from others. */
export const BUFFERED_BODY_TIMEOUT_MS = 60_000;

let reservedBytes = 0;

/**
 * Holds the request against its API description. Refuses with the codes of validation (400, 404, 405,
 * 413, 415), request_timeout, overloaded. Only bodies that have a schema are held in memory, and waited for; all others
 * stream on.
 */
export function validate(exchange: Permitted): Validated | Promise<Validated> {
  exchange.enter('validate');
  const { server, policy } = exchange;
  const body = server.body.isPresent ? server.body : null;
  if (policy.validation === undefined) return sending(exchange, body);
  const judgement = policy.validation.judgeHead({
    method: server.head.method,
    path: exchange.path,
    query: exchange.query,
    headers: exchange.headers,
    hasBody: body !== null,
    contentLength: server.body.declaredLength,
  });
  exchange.route = judgement.route;
  settle(exchange, judgement.findings);
  if (judgement.body === undefined) return sending(exchange, body);
  if (body === null) {
    settle(exchange, judgement.body.judge(EMPTY));
    return sending(exchange, null);
  }
  return judgeBody(exchange, body, judgement.body).then((judged) => sending(exchange, judged));
}

function sending(exchange: Permitted, body: Buffer | IncomingBody | null): Validated {
  exchange.outgoingBody = body;
  return narrowed(exchange, isValidated);
}

const EMPTY = Buffer.alloc(0);

async function judgeBody(exchange: Permitted, body: IncomingBody, plan: BodyPlan): Promise<Buffer | IncomingBody> {
  const declared = body.declaredLength;
  if (declared !== undefined && declared > plan.maxBytes) {
    settle(exchange, [plan.tooLarge(declared)]);
    return body; // Audit: passed on unread
  }
  const reservation = declared ?? plan.maxBytes;
  if (reservedBytes + reservation > MAX_BUFFERED_BYTES) {
    throw new Refusal('overloaded', `bodies in memory exceed maxBufferedBytes ${MAX_BUFFERED_BYTES}`);
  }
  reservedBytes += reservation;
  try {
    exchange.waitFor('caller-body');
    const startedAt = performance.now();
    const buffering = bufferBody(body, plan.maxBytes, () => {
      if (performance.now() - startedAt > BUFFERED_BODY_TIMEOUT_MS) buffering.fail(tooSlow());
      else exchange.waitFor('caller-body');
    });
    exchange.onGivenUp = (refusal) => buffering.fail(refusal);
    const buffered = await buffering.result;
    if (!buffered.isWhole) {
      settle(exchange, [plan.tooLarge(buffered.size)]);
      return buffered.body;
    }
    exchange.bytesIn = buffered.bytes.length;
    settle(exchange, plan.judge(buffered.bytes));
    return buffered.bytes;
  } finally {
    reservedBytes -= reservation;
    exchange.onGivenUp = undefined;
  }
}

/** The first finding that refuses decides; what is only audited is recorded. */
function settle(exchange: Permitted, findings: readonly Finding[]): void {
  for (const finding of findings) {
    if (finding.effect === 'refuse' && exchange.policy.defaults.mode === 'Enforce') {
      throw new Refusal(finding.code, finding.reason, finding.facts);
    }
    exchange.audit(finding);
  }
}

function tooSlow(): Refusal {
  return new Refusal(
    'request_timeout',
    `the body did not come within bufferedBodyTimeoutMs ${BUFFERED_BODY_TIMEOUT_MS}`,
  );
}
