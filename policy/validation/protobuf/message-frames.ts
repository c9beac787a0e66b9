import type { MessagePlan } from '../../workload-policy.ts';
import type { BodyFault } from '../body-fault.ts';

/** Compressed-Flag and Message-Length in front of each message. Source: gRPC over HTTP/2, Length-Prefixed-Message. */
export const PREFIX_BYTES = 5;
/** Compressed-Flag of a message that is in the coding that grpc-encoding names. */
export const COMPRESSED = 1;

/** What is wrong with the prefix of a message, the `count`th of its direction; undefined: nothing. */
export function prefixFault(flag: number, count: number, { coded, isStream }: MessagePlan): BodyFault | undefined {
  if (flag > COMPRESSED) return malformed('prefix', `begins with the flag ${flag}, which there is not`);
  if (flag === COMPRESSED && coded === undefined) {
    return malformed('encoding', 'is compressed, in no way that grpc-encoding names and that can be undone');
  }
  if (count > 1 && !isStream) return malformed('messages', 'is a second message, where the method has one');
  return undefined;
}

/** What is wrong where a direction ends after `count` messages and `left` bytes of another; `isAnswer`: an error has none. */
export function endFault(left: number, count: number, isAnswer: boolean, plan: MessagePlan): BodyFault | undefined {
  if (left > 0) return malformed('length', `ends within a message, after ${left} bytes of it with its prefix`);
  if (count > 0 || isAnswer || plan.isStream) return undefined;
  return malformed('messages', 'has no message, where the method takes one');
}

function malformed(keyword: string, message: string): BodyFault {
  return { code: 'malformed_body', details: [{ in: 'body', pointer: '', keyword, message }] };
}
