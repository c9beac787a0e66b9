import { type FlatHeaders, headerValue } from '../../http/flat-headers.ts';
import type { BodyPlan, Finding, MessagePlan } from '../../workload-policy.ts';
import type { CompiledDocument } from '../api-model.ts';
import type { BodyFault } from '../body-fault.ts';
import { type ContentCoding, codingOf } from '../decode/undo-coding.ts';
import type { OperationSettings, RuntimeContent } from '../runtime-operation.ts';
import { isWorkUsedUp, MAX_VALIDATION_WORK, renewBodyWork } from '../schema/work-budget.ts';
import { judgeBody } from './judge-body.ts';

/** What a plan for messages is made of. */
export interface PlannedMessages {
  readonly document: CompiledDocument;
  readonly content: RuntimeContent;
  readonly settings: OperationSettings;
  /** Of the request or response that the messages are of. */
  readonly headers: FlatHeaders;
  readonly isStream: boolean;
  readonly isEnforced: boolean;
  tooLarge(bytes: number): Finding;
  found(fault: BodyFault | undefined): readonly Finding[];
}

/**
 * True: messages of protobuf are announced, to every reader: grpc-go takes what follows a semicolon for the name of a codec (`application/grpc;json`),
 * and of two header fields the last. Source: gRPC over HTTP/2, Content-Type.
 */
export function isProtobufCall(headers: FlatHeaders): boolean {
  return PROTOBUF_CALL.test(headerValue(headers, 'content-type') ?? '');
}

const PROTOBUF_CALL = /^application\/grpc(?:\+proto)?[ \t]*(?:;[ \t]*(?:(?:proto|[^\s,;=]+=[^\s,;]*)[ \t]*)?)*$/i;

/** How the messages of one direction of a call are read and judged. */
export function planMessages(planned: PlannedMessages): MessagePlan {
  const encoding = headerValue(planned.headers, 'grpc-encoding');
  const coding = encoding === undefined ? 'identity' : codingOf(encoding);
  return {
    isStream: planned.isStream,
    plain: planOf(planned, undefined),
    coded: coding === undefined || coding === 'identity' ? undefined : planOf(planned, coding),
  };
}

function planOf(planned: PlannedMessages, coding: ContentCoding | undefined): BodyPlan {
  const { document, content, settings } = planned;
  const isRuled = content.messages?.isRuled(content.content.messageType ?? -1) === true;
  const judge = (message: Buffer, maxWork: number) => {
    renewBodyWork(maxWork);
    return planned.found(judgeBody(message, content, settings));
  };
  return {
    maxBytes: settings.maxBodyBytes,
    coding,
    tooLarge: (bytes) => planned.tooLarge(bytes),
    judge: (message) => judge(message, MAX_VALIDATION_WORK),
    judgeWithin: (message, maxWork) => {
      if (isRuled) return undefined; // rules take up to 0.1 s to make: never where requests are served
      const findings = judge(message, maxWork);
      return findings.length > 0 && isWorkUsedUp() ? undefined : findings;
    },
    isEnforced: planned.isEnforced,
    task: { document, content: content.content, settings, boundary: undefined },
    found: (fault) => planned.found(fault),
  };
}
