import { codeEntry } from '#policy/error/codes.ts';
import { Refusal, type RefusalDetail, type RefusalFacts } from '#policy/error/refusal.ts';
import type { ImmediateResponse } from '../http/message.ts';
import type { Exchange } from './exchange.ts';
import { grpcStatusFields } from './grpc-status.ts';

/**
 * The one place where a refusal becomes an answer. The caller gets status, title and code (RFC 9457),
 * and the decision's ID to ask an operator with; the reason stays with log, span and decision record.
 */
export function refuse(exchange: Exchange, error: unknown): void {
  const refusal = asRefusal(error);
  exchange.fail(refusal);
  if (exchange.isAnswered || codeEntry(refusal.code).status === 0) {
    if (!exchange.isEndedByStatus) exchange.server.destroy();
    return;
  }
  const answer = answerOf(refusal, exchange.decisionId, exchange.isGrpc);
  exchange.status = answer.head.status;
  exchange.isAnswered = true;
  exchange.bytesOut = answer.body.length;
  const { body } = exchange.server;
  // what the caller still sends is not wanted: its connection cannot be used again
  const headers = body.isPresent ? [...answer.head.headers, 'connection', 'close'] : answer.head.headers;
  const outgoing = exchange.server.respond({ ...answer.head, headers });
  if (exchange.server.head.method !== 'HEAD' && answer.body.length > 0) outgoing.write(answer.body);
  outgoing.end([]);
}

/** RFC 9110 §15.5.2: a 401 says how to authenticate; RFC 6750 §3.1: and that the token was no good. */
const CHALLENGE = 'Bearer error="invalid_token"';

/** The answer to a refusal, also for bytes that never became an exchange. */
export function answerOf(refusal: Refusal, decisionId: string, isGrpcCall: boolean): ImmediateResponse {
  const { facts } = refusal;
  const entry = codeEntry(refusal.code);
  const { title } = entry;
  const status = facts.answer?.status ?? facts.status ?? entry.status;
  if (isGrpcCall) {
    // gRPC over HTTP/2 "Trailers-Only": status in the head, HTTP status always 200
    const headers = ['content-type', 'application/grpc', ...grpcStatusFields(refusal, decisionId)];
    return { head: { status: 200, reason: '', headers }, body: Buffer.alloc(0) };
  }
  if (facts.answer !== undefined) return toldAnswer(facts.answer, decisionId);
  const { limit, allow } = facts;
  const errors = facts.tellsDetails === true ? facts.details?.map(toldDetail) : undefined;
  const problem = {
    ...{ title, status, code: refusal.code },
    ...(limit === undefined ? {} : { limit }),
    ...(errors === undefined ? {} : { errors }),
  };
  const body = Buffer.from(`${JSON.stringify(problem)}\n`);
  const headers = ['content-type', 'application/problem+json', 'content-length', String(body.length)];
  headers.push('lateral-decision', decisionId);
  if (allow !== undefined) headers.push('allow', allow);
  if (status === 401) headers.push('www-authenticate', CHALLENGE);
  return { head: { status, reason: '', headers }, body };
}

function toldDetail({ in: place, pointer, keyword, message }: RefusalDetail): RefusalDetail {
  return { in: place, pointer, keyword, message };
}

/** Of a response with one of these nothing follows the head (RFC 9110 §15.3.5, §15.3.6, §15.4.5). */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** As a provider says it. */
function toldAnswer(
  { status, headers, body }: NonNullable<RefusalFacts['answer']>,
  decisionId: string,
): ImmediateResponse {
  const told = WITHOUT_BODY.has(status) ? Buffer.alloc(0) : body;
  const length = status === 204 || status === 304 ? [] : ['content-length', String(told.length)];
  return { head: { status, reason: '', headers: [...headers, ...length, 'lateral-decision', decisionId] }, body: told };
}

/** What is no refusal is a fault of ours. */
export function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new Refusal('internal_error', detail);
}
