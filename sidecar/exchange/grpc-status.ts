import { GRPC } from '#policy/error/code-entry.ts';
import { codeEntry } from '#policy/error/codes.ts';
import type { Refusal, RefusalDetail } from '#policy/error/refusal.ts';

/** Details told to a caller: they travel in one header field. */
const MAX_TOLD = 10;
/** Bytes of these in all, before base64: clients in Java and C++ end a call whose metadata are over 8 KiB with another status. */
const MAX_TOLD_BYTES = 4 * 1024;

/**
 * A refusal as the fields that end a gRPC call: status, code, decision; what is wrong with the message only for callers that may know.
 * Source: gRPC over HTTP/2, Responses.
 */
export function grpcStatusFields(refusal: Refusal, decisionId: string): string[] {
  const { facts, code } = refusal;
  const entry = codeEntry(code);
  const status = facts.answer?.status ?? facts.status ?? entry.status;
  const grpcStatus = status === entry.status ? entry.grpcStatus : grpcStatusOf(status);
  const fields = ['grpc-status', String(grpcStatus), 'grpc-message', code, 'lateral-decision', decisionId];
  const details = facts.tellsDetails === true ? (facts.details ?? []).slice(0, MAX_TOLD) : [];
  const violations = roomFor(details.map(violationOf));
  if (violations.length > 0) fields.push('grpc-status-details-bin', statusDetails(grpcStatus, code, violations));
  return fields;
}

/** Of an HTTP status that is not the code's own. Source: gRPC, http-grpc-status-mapping. */
function grpcStatusOf(status: number): number {
  if (status === 400) return GRPC.internal;
  if (status === 401) return GRPC.unauthenticated;
  if (status === 403) return GRPC.permissionDenied;
  if (status === 404) return GRPC.unimplemented;
  return status === 429 || (status >= 502 && status <= 504) ? GRPC.unavailable : GRPC.unknown;
}

/** A FieldViolation of google.rpc.BadRequest, as a field of it. */
function violationOf({ pointer, keyword, message }: RefusalDetail): Buffer {
  return field(
    1,
    field(1, Buffer.from(fieldPath(pointer))),
    field(2, Buffer.from(message)),
    field(3, Buffer.from(keyword)),
  );
}

/** The first ones, as many as fit. */
function roomFor(violations: readonly Buffer[]): readonly Buffer[] {
  let left = MAX_TOLD_BYTES;
  const over = violations.findIndex(({ length }) => {
    left -= length;
    return left < 0;
  });
  return over === -1 ? violations : violations.slice(0, over);
}

/** A google.rpc.Status with a google.rpc.BadRequest, in base64. Sources: google/rpc/status.proto, google/rpc/error_details.proto. */
function statusDetails(status: number, code: string, violations: readonly Buffer[]): string {
  const any = [field(1, BAD_REQUEST), field(2, ...violations)];
  const bytes = Buffer.concat([Buffer.from([0x08, status]), field(2, Buffer.from(code)), field(3, ...any)]);
  return bytes.toString('base64').replace(/=+$/, '');
}

const BAD_REQUEST = Buffer.from('type.googleapis.com/google.rpc.BadRequest');

/** `/items/0/sku` as `items[0].sku`. */
function fieldPath(pointer: string): string {
  const path = pointer
    .split('/')
    .slice(1)
    .map((step) => (/^\d+$/.test(step) ? `[${step}]` : `.${step.replaceAll('~1', '/').replaceAll('~0', '~')}`))
    .join('');
  return path.startsWith('.') ? path.slice(1) : path;
}

/** A length-delimited field of protobuf. */
function field(number: number, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, { length: bytes }) => sum + bytes, 0);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(length)]), ...parts]);
}

function varint(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}
