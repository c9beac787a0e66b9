import { Refusal } from '#policy/error/refusal.ts';
import { type ContentCoding, notCoded, undoCoding } from '#policy/validation/decode/undo-coding.ts';
import { MAX_WORK_HERE } from '#policy/validation/schema/work-budget.ts';
import type { BodyPlan, Finding } from '#policy/workload-policy.ts';
import type { BufferedBody } from '../http/buffered-body.ts';
import { bodyJudge, sharedBytes } from '../policy/judge-beside.ts';
import type { Exchange } from './exchange.ts';
import { MAX_BUFFERED_BYTES, releaseBytes, reserveBytes } from './hold-body.ts';
import { asRefusal } from './refuse.ts';

/** Longer bodies are judged by another thread: about 3 ms of judging here. */
const MAX_BYTES_JUDGED_HERE = 256 * 1024;

/**
 * Judges a body that is there as a whole, in this thread or, where that would hold others up, in another; undefined: it is done.
 * Refuses with what is found, where it is enforced.
 */
export function judgeWhole(exchange: Exchange, bytes: Buffer, plan: BodyPlan): Promise<void> | undefined {
  if (bytes.length > plan.maxBytes) {
    settle(exchange, [plan.tooLarge(bytes.length)]);
    return undefined;
  }
  if (plan.coding !== undefined && bytes.length > 0) return judgeCoded(exchange, bytes, plan.coding, plan);
  return judgeDecoded(exchange, bytes, plan);
}

/** What is sent on is the body as it came. */
async function judgeCoded(exchange: Exchange, body: Buffer, coding: ContentCoding, plan: BodyPlan): Promise<void> {
  let taken = 0;
  const take = (bytes: number) => {
    if (!reserveBytes(bytes)) return false;
    taken += bytes;
    return true;
  };
  try {
    exchange.waitFor('judgement');
    const undone = await undoCoding(body, coding, plan.maxBytes, take);
    if (exchange.givenUp !== undefined) throw exchange.givenUp;
    if (undone.kind === 'whole') await judgeDecoded(exchange, undone.bytes, plan);
    else if (undone.kind === 'longer') settle(exchange, [plan.tooLarge(plan.maxBytes + 1)]);
    else if (undone.kind === 'malformed') settle(exchange, plan.found(notCoded(undone.reason)));
    else refuseUnjudged(exchange, NO_ROOM, plan);
  } finally {
    releaseBytes(taken);
  }
}

/** True where a request or response is refused for what is found of its body, or for want of means to judge it. */
export function mayRefuse({ policy }: Exchange, { isEnforced }: Pick<BodyPlan, 'isEnforced'>): boolean {
  return isEnforced && policy.defaults.mode === 'Enforce';
}

/** Records, or refuses, that a body did not come as a whole. */
export function settleUnread(
  exchange: Exchange,
  held: BufferedBody & { readonly isWhole: false },
  plan: BodyPlan,
): void {
  if (held.why === 'longer') settle(exchange, [plan.tooLarge(held.size)]);
  else if (held.why === 'no-room') refuseUnjudged(exchange, NO_ROOM, plan);
  else
    exchange.audit({ code: 'request_timeout', reason: 'the body was not judged: it took too long to come', facts: {} });
}

const NO_ROOM = `bodies in memory exceed maxBufferedBytes ${MAX_BUFFERED_BYTES}`;

/** What nobody had the means to judge was not found valid. */
function refuseUnjudged(exchange: Exchange, reason: string, plan: BodyPlan): void {
  if (mayRefuse(exchange, plan)) throw new Refusal('overloaded', reason);
  exchange.audit({ code: 'overloaded', reason, facts: {} });
}

function judgeDecoded(exchange: Exchange, bytes: Buffer, plan: BodyPlan): Promise<void> | undefined {
  const findings = judgeHere(bytes, plan);
  if (findings === undefined) return judgeBeside(exchange, bytes, plan);
  settle(exchange, findings);
  return undefined;
}

/** Undefined: it would hold other requests up. */
function judgeHere(bytes: Buffer, plan: BodyPlan): readonly Finding[] | undefined {
  return bytes.length > MAX_BYTES_JUDGED_HERE ? undefined : plan.judgeWithin(bytes, MAX_WORK_HERE);
}

async function judgeBeside(exchange: Exchange, bytes: Buffer, plan: BodyPlan): Promise<void> {
  exchange.waitFor('judgement');
  const judging = bodyJudge.judge(sharedBytes(bytes), plan.task);
  const findings = await judging.then(plan.found, (error: unknown) => {
    if (mayRefuse(exchange, plan)) throw error;
    const { code, reason, facts } = asRefusal(error);
    exchange.audit({ code, reason, facts });
    return [];
  });
  settle(exchange, findings);
  if (exchange.givenUp !== undefined) throw exchange.givenUp;
}

/** The first finding that refuses decides; what is only audited is recorded. */
export function settle(exchange: Exchange, findings: readonly Finding[]): void {
  for (const finding of findings) {
    if (finding.effect === 'refuse' && exchange.policy.defaults.mode === 'Enforce') {
      throw new Refusal(finding.code, finding.reason, finding.facts);
    }
    exchange.audit(finding);
  }
}
