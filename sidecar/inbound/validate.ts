import { Refusal } from '#policy/error/refusal.ts';
import { MAX_WORK_HERE } from '#policy/validation/work-budget.ts';
import type { BodyPlan, Finding } from '#policy/workload-policy.ts';
import { isValidated, narrowed, type Permitted, type Validated } from '../exchange/exchange.ts';
import type { IncomingBody } from '../http/message.ts';
import { bodyJudge, sharedBytes } from '../policy/judge-beside.ts';
import { holdBody } from './hold-body.ts';

/** Longer bodies are judged by another thread: about 3 ms of judging here. */
const MAX_BYTES_JUDGED_HERE = 256 * 1024;

/**
 * Holds the request against its API description. Refuses with the codes of validation (400, 404, 405,
 * 413, 415), request_timeout, overloaded. Only bodies that have a schema are held in memory, and waited for; all others
 * stream on.
 */
export function validate(exchange: Permitted): Validated | Promise<Validated> {
  exchange.enter('validate');
  const { server, policy } = exchange;
  const body = exchange.heldBody ?? (server.body.isPresent ? server.body : null);
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
  if (Buffer.isBuffer(body)) {
    const judging = judgeHeld(exchange, body, judgement.body);
    return judging instanceof Promise
      ? judging.then((judged) => sending(exchange, judged))
      : sending(exchange, judging);
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
  return holdBody(exchange, body, plan.maxBytes, (held) => {
    if (!held.isWhole) {
      settle(exchange, [plan.tooLarge(held.size)]);
      return held.body;
    }
    return judgeHeld(exchange, held.bytes, plan);
  });
}

function judgeHeld(exchange: Permitted, bytes: Buffer, plan: BodyPlan): Buffer | Promise<Buffer> {
  exchange.bytesIn = bytes.length;
  const findings = bytes.length > plan.maxBytes ? [plan.tooLarge(bytes.length)] : judgeHere(bytes, plan);
  if (findings === undefined) return judgeBeside(exchange, bytes, plan);
  settle(exchange, findings);
  return bytes;
}

/** Undefined: it would hold other requests up. */
function judgeHere(bytes: Buffer, plan: BodyPlan): readonly Finding[] | undefined {
  return bytes.length > MAX_BYTES_JUDGED_HERE ? undefined : plan.judgeWithin(bytes, MAX_WORK_HERE);
}

async function judgeBeside(exchange: Permitted, bytes: Buffer, plan: BodyPlan): Promise<Buffer> {
  exchange.waitFor('judgement');
  try {
    settle(exchange, plan.found(await bodyJudge.judge(sharedBytes(bytes), plan.task)));
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== 'overloaded' || plan.isEnforced) throw error;
    exchange.audit({ code: error.code, reason: error.message, facts: error.facts });
  }
  if (exchange.givenUp !== undefined) throw exchange.givenUp;
  return bytes;
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
