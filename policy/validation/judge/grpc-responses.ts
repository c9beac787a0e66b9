import type { RefusalDetail } from '../../error/refusal.ts';
import type { Finding, ResponseJudgement, ResponseParts, ResponseValidation } from '../../workload-policy.ts';
import type { CompiledDocument } from '../api-model.ts';
import type { OperationSettings, RuntimeContent } from '../runtime-operation.ts';
import { describeDetails } from '../schema/validation-details.ts';
import { isProtobufCall, planMessages } from './message-plan.ts';

/** What is known of the responses of a method. */
export interface MethodResponses {
  /** NAMESPACE/NAME of the policy. */
  readonly policy: string;
  readonly document: CompiledDocument;
  readonly settings: OperationSettings;
  readonly content: RuntimeContent;
  readonly isStream: boolean;
}

/** Holds the messages that a method answers with against their type. Errors of the app, which have no message, pass. */
export class GrpcResponses implements ResponseValidation {
  readonly #method: MethodResponses;

  constructor(method: MethodResponses) {
    this.#method = method;
  }

  judgeHead({ status, headers, hasBody, isHead }: ResponseParts): ResponseJudgement {
    // of another status clients read nothing but that (gRPC, http-grpc-status-mapping)
    if (!hasBody || isHead || status !== 200) return { findings: [], body: undefined };
    if (!isProtobufCall(headers)) {
      const message = 'the response is not application/grpc';
      return {
        findings: [
          this.#invalid([{ in: 'response', pointer: '/headers/content-type', keyword: 'contentType', message }]),
        ],
        body: undefined,
      };
    }
    const { document, content, settings, isStream } = this.#method;
    const messages = planMessages({
      ...{ document, content, settings, headers, isStream, isEnforced: this.isEnforced },
      tooLarge: (bytes) => {
        const message = `message of ${bytes} bytes exceeds limits.bodyBytes ${settings.maxBodyBytes}`;
        return this.#invalid([{ in: 'response', pointer: '', keyword: 'limit', message }]);
      },
      found: (fault) =>
        fault === undefined ? [] : [this.#invalid(fault.details.map((detail) => ({ ...detail, in: 'response' })))],
    });
    return { findings: [], body: undefined, messages };
  }

  get isEnforced(): boolean {
    const { settings } = this.#method;
    return settings.response.body === 'Enforce' && settings.isEnforced;
  }

  #invalid(details: readonly RefusalDetail[]): Finding {
    return {
      effect: this.isEnforced ? 'refuse' : 'audit',
      code: 'invalid_response',
      reason: describeDetails(details),
      facts: { policy: this.#method.policy, details },
    };
  }
}
