import type { RefusalDetail } from '../error/refusal.ts';
import { headerValue } from '../http/flat-headers.ts';
import type { BodyPlan, Finding, ResponseJudgement, ResponseParts, ResponseValidation } from '../workload-policy.ts';
import type { CompiledDocument } from './api-model.ts';
import type { BodyFault } from './body-fault.ts';
import { type ChosenContent, chooseContent } from './judge/choose-content.ts';
import { judgeBody } from './judge/judge-body.ts';
import { judgeHeaders } from './judge/judge-parameters.ts';
import type { OperationSettings, ResponseMode, RuntimeResponse } from './runtime-operation.ts';
import { beginJudgement } from './schema/judgement.ts';
import { describeDetails, MAX_DETAILS } from './schema/validation-details.ts';
import { isWorkUsedUp, MAX_VALIDATION_WORK, MAX_WORK_HERE, renewBodyWork, renewWork } from './schema/work-budget.ts';

/** What a response validator knows of its operation. */
export interface ResponseRules {
  /** NAMESPACE/NAME of the policy. */
  readonly policy: string;
  readonly document: CompiledDocument;
  readonly settings: OperationSettings;
  /** By status: `200`, `4XX`, `default`. */
  readonly responses: ReadonlyMap<string, RuntimeResponse>;
}

/** Nothing follows the head of a response with one of these (RFC 9110 §15.3.5, §15.3.6, §15.4.5). */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** Holds the responses of one operation against what its document says of them. */
export class ResponseValidator implements ResponseValidation {
  readonly #rules: ResponseRules;

  constructor(rules: ResponseRules) {
    this.#rules = rules;
  }

  get isEnforced(): boolean {
    return Object.values(this.#rules.settings.response).some((mode) => this.#isEnforced(mode));
  }

  judgeHead(parts: ResponseParts): ResponseJudgement {
    const { settings } = this.#rules;
    const response = this.#responseOf(parts.status);
    if (response === undefined) return this.#undeclared(parts.status);
    const { unavailable } = response.response;
    if (unavailable !== undefined) {
      const mode = stronger(settings.response.headers, settings.response.body);
      return { findings: this.#unavailable(mode, unavailable), body: undefined };
    }
    const findings = [...this.#headers(response, parts)];
    if (settings.response.body === 'Off') return { findings, body: undefined };
    const { finding, plan } = this.#body(response, parts);
    return { findings: finding === undefined ? findings : [...findings, finding], body: plan };
  }

  /** OpenAPI 3.1 §4.8.16: an explicit status before its range, a range before `default`. */
  #responseOf(status: number): RuntimeResponse | undefined {
    const { responses } = this.#rules;
    return responses.get(String(status)) ?? responses.get(`${Math.trunc(status / 100)}XX`) ?? responses.get('default');
  }

  #undeclared(status: number): ResponseJudgement {
    const { settings, responses } = this.#rules;
    const mode = settings.response.undeclaredStatus;
    if (mode === 'Off') return NOTHING;
    const declared = [...responses.keys()].join(', ');
    const message = `the status ${status} is not declared; declared: ${declared === '' ? 'none' : declared}`;
    return { findings: [this.#invalid(mode, [inHead('/status', 'status', message)])], body: undefined };
  }

  #headers(response: RuntimeResponse, { headers }: ResponseParts): readonly Finding[] {
    const mode = this.#rules.settings.response.headers;
    if (mode === 'Off' || response.headers.length === 0) return [];
    renewWork(MAX_WORK_HERE);
    beginJudgement(this.#rules.settings.unenforceable);
    const details = judgeHeaders(response.headers, headers, this.#rules.settings).slice(0, MAX_DETAILS);
    if (details.length === 0) return [];
    return [
      this.#invalid(
        mode,
        details.map(({ pointer, keyword, message }) => inHead(`/headers${pointer}`, keyword, message)),
      ),
    ];
  }

  /** Judges all about the body that is known before it comes, and plans the rest. */
  #body(response: RuntimeResponse, parts: ResponseParts): { finding?: Finding; plan: BodyPlan | undefined } {
    const { settings } = this.#rules;
    const mode = settings.response.body;
    const { contents } = response;
    // Documents often leave `content` out for errors: without one nothing is said of the body.
    if (contents.length === 0 || parts.isHead) return NO_BODY;
    if (WITHOUT_BODY.has(parts.status) && !hasTypedBody(parts)) return NO_BODY;
    if (!parts.hasBody) return { finding: this.#invalid(mode, [MISSING]), plan: undefined };
    const chosen = chooseContent(contents, parts.headers);
    if (typeof chosen === 'string') {
      return {
        finding: this.#invalid(mode, [inHead('/headers/content-type', 'contentType', chosen)]),
        plan: undefined,
      };
    }
    const { unavailable, format } = chosen.content.content;
    if (unavailable !== undefined)
      return { finding: this.#unavailable(mode, unavailable)[0] as Finding, plan: undefined };
    if (format === 'opaque') return NO_BODY;
    const { contentLength } = parts;
    if (contentLength !== undefined && contentLength > settings.maxBodyBytes) {
      return { finding: this.#tooLarge(contentLength), plan: undefined };
    }
    return { plan: this.#plan(chosen, WITHOUT_BODY.has(parts.status)) };
  }

  #plan(chosen: ChosenContent, mayBeEmpty: boolean): BodyPlan {
    const { content, coding, boundary } = chosen;
    const { settings, document } = this.#rules;
    return {
      maxBytes: settings.maxBodyBytes,
      coding,
      tooLarge: (bytes) => this.#tooLarge(bytes),
      judge: (body) => (mayBeEmpty && body.length === 0 ? [] : this.#judge(body, chosen, MAX_VALIDATION_WORK)),
      judgeWithin: (body, maxWork) => {
        if (mayBeEmpty && body.length === 0) return [];
        const findings = this.#judge(body, chosen, maxWork);
        return findings.length > 0 && isWorkUsedUp() ? undefined : findings;
      },
      isEnforced: this.#isEnforced(settings.response.body),
      task: { document, content: content.content, settings, boundary },
      found: (fault) => this.#found(fault),
    };
  }

  #judge(body: Buffer, { content, boundary }: ChosenContent, maxWork: number): readonly Finding[] {
    if (body.length === 0) return [this.#invalid(this.#rules.settings.response.body, [MISSING])];
    renewBodyWork(maxWork);
    return this.#found(judgeBody(body, content, this.#rules.settings, boundary));
  }

  #found(fault: BodyFault | undefined): readonly Finding[] {
    if (fault === undefined) return [];
    const details = fault.details.map((detail) => ({ ...detail, in: 'response' as const }));
    return [this.#invalid(this.#rules.settings.response.body, details)];
  }

  #tooLarge(bytes: number): Finding {
    const { maxBodyBytes, response } = this.#rules.settings;
    const message = `body of ${bytes} bytes exceeds limits.bodyBytes ${maxBodyBytes}`;
    return this.#invalid(response.body, [{ in: 'response', pointer: '', keyword: 'limit', message }]);
  }

  #unavailable(mode: ResponseMode, reason: string): readonly Finding[] {
    if (mode === 'Off') return [];
    const effect = this.#isEnforced(mode) ? 'refuse' : 'audit';
    return [{ effect, code: 'schema_unavailable', reason, facts: { policy: this.#rules.policy } }];
  }

  #invalid(mode: ResponseMode, details: readonly RefusalDetail[]): Finding {
    const effect = this.#isEnforced(mode) ? 'refuse' : 'audit';
    const facts = { policy: this.#rules.policy, details };
    return { effect, code: 'invalid_response', reason: describeDetails(details), facts };
  }

  #isEnforced(mode: ResponseMode): boolean {
    return mode === 'Enforce' && this.#rules.settings.isEnforced;
  }
}

/**
 * A body that a 205 has all the same is judged as any other: nothing in its framing keeps it from coming. Chunks that say no type are taken for the
 * empty ones that the RFC allows.
 */
function hasTypedBody({ hasBody, contentLength, headers }: ResponseParts): boolean {
  return hasBody && (contentLength !== undefined || headerValue(headers, 'content-type') !== undefined);
}

const NOTHING: ResponseJudgement = { findings: [], body: undefined };
const NO_BODY = { plan: undefined };
const MISSING: RefusalDetail = { in: 'response', pointer: '', keyword: 'required', message: 'the body is missing' };

function inHead(pointer: string, keyword: string, message: string): RefusalDetail {
  return { in: 'response', pointer, keyword, message };
}

const STRENGTH: readonly ResponseMode[] = ['Off', 'Audit', 'Enforce'];

function stronger(left: ResponseMode, right: ResponseMode): ResponseMode {
  return STRENGTH.indexOf(left) > STRENGTH.indexOf(right) ? left : right;
}
