import type { BodyPlan, HeaderField, LengthPlan } from '#policy/workload-policy.ts';
import { isValidated, narrowed, type Permitted, type Validated } from '../exchange/exchange.ts';
import { FormGate } from '../exchange/form-gate.ts';
import { holdBody } from '../exchange/hold-body.ts';
import { judgeWhole, mayRefuse, settle, settleUnread } from '../exchange/judge-body.ts';
import { LengthGate } from '../exchange/length-gate.ts';
import { MessageGate } from '../exchange/message-gate.ts';
import { WholeBody } from '../exchange/whole-body.ts';
import type { BufferedBody } from '../http/buffered-body.ts';
import type { IncomingBody } from '../http/message.ts';

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
    source: exchange.source,
  });
  exchange.route = judgement.route;
  exchange.responses = judgement.responses;
  exchange.isDeprecated = judgement.isDeprecated === true;
  if (judgement.notices !== undefined && judgement.notices.length > 0) tell(exchange, judgement.notices);
  settle(exchange, judgement.findings);
  if (judgement.messages !== undefined && body !== null) {
    const source = Buffer.isBuffer(body) ? new WholeBody(body, []) : body;
    return sending(exchange, new MessageGate(exchange, source, judgement.messages, 'caller'));
  }
  if (judgement.length !== undefined && body !== null)
    return sending(exchange, counted(exchange, body, judgement.length));
  if (judgement.body === undefined) return sending(exchange, body);
  if (body === null) {
    settle(exchange, judgement.body.judge(EMPTY));
    return sending(exchange, null);
  }
  const { form } = judgement.body;
  if (form !== undefined) {
    const source = Buffer.isBuffer(body) ? new WholeBody(body, []) : body;
    return sending(exchange, new FormGate(exchange, source, judgement.body, form));
  }
  if (Buffer.isBuffer(body)) {
    const judging = judgeHeld(exchange, body, judgement.body);
    return judging instanceof Promise
      ? judging.then((judged) => sending(exchange, judged))
      : sending(exchange, judging);
  }
  return judgeBody(exchange, body, judgement.body).then((judged) => sending(exchange, judged));
}

function counted(exchange: Permitted, body: IncomingBody | Buffer, plan: LengthPlan): IncomingBody | Buffer {
  if (!Buffer.isBuffer(body)) return new LengthGate(exchange, body, plan);
  if (body.length > plan.maxBytes) settle(exchange, [plan.tooLarge(body.length)]);
  return body;
}

/** The app's own word is kept: it knows its operations better than their document. */
function tell(exchange: Permitted, notices: readonly HeaderField[]): void {
  const added = notices.map(({ name, value }) => ({ name, value, how: 'add-if-absent' as const }));
  exchange.toCaller = [...exchange.toCaller, ...added];
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
  const use = (held: BufferedBody) => {
    if (held.isWhole) return judgeHeld(exchange, held.bytes, plan);
    settleUnread(exchange, held, plan);
    return held.body;
  };
  return holdBody(exchange, body, plan.maxBytes, 'caller', use, mayRefuse(exchange, plan));
}

function judgeHeld(exchange: Permitted, bytes: Buffer, plan: BodyPlan): Buffer | Promise<Buffer> {
  exchange.bytesIn = bytes.length;
  const judging = judgeWhole(exchange, bytes, plan);
  return judging === undefined ? bytes : judging.then(() => bytes);
}
