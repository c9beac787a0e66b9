import type { Code } from '../error/codes.ts';
import type { RefusalFacts } from '../error/refusal.ts';
import { headerValue } from '../http/flat-headers.ts';
import type { BodyPlan, Finding, HeadJudgement, RequestParts, RequestValidation } from '../workload-policy.ts';
import type { ApiOperation } from './api-model.ts';
import { type BodyFault, judgeBody } from './judge-body.ts';
import { judgeParameters } from './judge-parameters.ts';
import { isJsonType, type MediaType, parseMediaType, rangeFit } from './media-type.ts';
import type { Router } from './router.ts';
import type { OperationSettings, RuntimeContent, RuntimeOperation } from './runtime-operation.ts';
import { describeDetails, MAX_DETAILS, pointerTo } from './validation-details.ts';
import { isWorkUsedUp, MAX_VALIDATION_WORK, MAX_WORK_HERE, renewWork } from './work-budget.ts';

/** The operations of one path, by method. */
export interface PathOperations {
  readonly byMethod: ReadonlyMap<string, RuntimeOperation>;
  /** Value of Allow: what the document has, and HEAD where it has GET. */
  readonly allow: string;
}

/** What a policy says about all requests. */
export interface ValidatorSettings {
  /** NAMESPACE/NAME. */
  readonly policy: string;
  readonly isEnforced: boolean;
  readonly undocumented: 'Deny' | 'Report' | 'Allow';
  /** Why not all documents are in force: what matches none of the others could be of the missing one. */
  readonly incomplete: string | undefined;
}

/** Holds requests against the operations of a workload's API. */
export class RequestValidator implements RequestValidation {
  readonly #router: Router<PathOperations>;
  readonly #settings: ValidatorSettings;

  constructor(router: Router<PathOperations>, settings: ValidatorSettings) {
    this.#router = router;
    this.#settings = settings;
  }

  get policy(): string {
    return this.#settings.policy;
  }

  get isEnforced(): boolean {
    return this.#settings.isEnforced;
  }

  judgeHead(request: RequestParts): HeadJudgement {
    const match = this.#router.match(request.path);
    if (match === undefined) return this.#undocumented('undocumented_path', 'no document has this path', undefined, {});
    const path = match.route.value;
    const operation = path.byMethod.get(request.method) ?? headByGet(request.method, path);
    if (operation === undefined) {
      const { allow } = path;
      return this.#undocumented(
        'undocumented_method',
        `${match.route.template} has the methods ${allow}`,
        match.route.template,
        { allow },
      );
    }
    const { template, unavailable } = operation.operation;
    if (unavailable !== undefined) return judgement(template, [this.#finding('schema_unavailable', unavailable)]);
    renewWork(MAX_WORK_HERE);
    const findings: Finding[] = [];
    const { invalid, unknown } = judgeParameters(operation, match.values, request.query, request.headers);
    if (invalid.length > 0) {
      const details = invalid.slice(0, MAX_DETAILS);
      findings.push(this.#finding('invalid_parameter', describeDetails(details), { details }));
    }
    if (unknown.length > 0) findings.push(...this.#unknownParameters(operation, unknown));
    const { finding, plan } = this.#body(operation, request);
    if (finding !== undefined) findings.push(finding);
    return { route: template, findings, body: plan };
  }

  #undocumented(code: Code, reason: string, route: string | undefined, facts: RefusalFacts): HeadJudgement {
    const { incomplete, undocumented } = this.#settings;
    if (incomplete !== undefined) return judgement(route, [this.#finding('schema_unavailable', incomplete)]);
    if (undocumented === 'Allow') return judgement(route, []);
    const finding = this.#finding(code, reason, facts);
    return judgement(route, [undocumented === 'Report' ? { ...finding, effect: 'audit' } : finding]);
  }

  #unknownParameters({ settings }: RuntimeOperation, names: readonly string[]): readonly Finding[] {
    if (settings.unknownParameters === 'Allow') return [];
    const details = names.slice(0, MAX_DETAILS).map((name) => unknownParameter(name));
    const finding = this.#finding('unknown_parameter', describeDetails(details), { details });
    return [settings.unknownParameters === 'Report' ? { ...finding, effect: 'audit' } : finding];
  }

  /** Judges all about the body that is known before it comes, and plans the rest. */
  #body(operation: RuntimeOperation, request: RequestParts): { finding?: Finding; plan: BodyPlan | undefined } {
    const { settings } = operation;
    const { body } = operation.operation;
    const { maxBodyBytes } = settings;
    if (request.contentLength !== undefined && request.contentLength > maxBodyBytes) {
      return { finding: this.#tooLarge(request.contentLength, maxBodyBytes), plan: undefined };
    }
    if (settings.body === 'Skip') return { plan: undefined };
    if (!request.hasBody) {
      if (body?.isRequired !== true) return { plan: undefined };
      return { finding: this.#finding('missing_body', 'the operation requires a body'), plan: undefined };
    }
    const chosen = chooseContent(operation, request);
    if (typeof chosen === 'string')
      return { finding: this.#finding('unsupported_media_type', chosen), plan: undefined };
    const { content } = chosen;
    if (content.unavailable !== undefined) {
      return { finding: this.#finding('schema_unavailable', content.unavailable), plan: undefined };
    }
    if (content.format === 'opaque') return { plan: undefined };
    const coding = headerValue(request.headers, 'content-encoding');
    if (coding !== undefined && coding.trim().toLowerCase() !== 'identity') {
      const reason = `the content coding ${shown(coding)} is not supported; bodies that are checked must come as they are`;
      return { finding: this.#finding('unsupported_media_type', reason), plan: undefined };
    }
    return { plan: this.#plan(operation, chosen) };
  }

  #plan({ settings, operation, document }: RuntimeOperation, content: RuntimeContent): BodyPlan {
    const maxBytes = settings.maxBodyBytes;
    return {
      maxBytes,
      tooLarge: (bytes) => this.#tooLarge(bytes, maxBytes),
      judge: (body) => this.#judge(body, operation, content, settings, MAX_VALIDATION_WORK),
      judgeWithin: (body, maxWork) => {
        const findings = this.#judge(body, operation, content, settings, maxWork);
        return findings.length > 0 && isWorkUsedUp() ? undefined : findings;
      },
      isEnforced: this.#settings.isEnforced,
      task: { document, content: content.content, settings },
      found: (fault) => this.#found(fault),
    };
  }

  #judge(
    body: Buffer,
    operation: ApiOperation,
    content: RuntimeContent,
    settings: OperationSettings,
    maxWork: number,
  ): readonly Finding[] {
    renewWork(maxWork);
    if (body.length > 0) return this.#found(judgeBody(body, content, settings));
    if (operation.body?.isRequired !== true) return [];
    return [this.#finding('missing_body', 'the operation requires a body; an empty one came')];
  }

  #found(fault: BodyFault | undefined): readonly Finding[] {
    if (fault === undefined) return [];
    return [this.#finding(fault.code, describeDetails(fault.details), { details: fault.details })];
  }

  #tooLarge(bytes: number, maxBytes: number): Finding {
    const limit = `${maxBytes} bytes`;
    return this.#finding('body_too_large', `body of ${bytes} bytes exceeds limits.bodyBytes ${maxBytes}`, { limit });
  }

  #finding(code: Code, reason: string, facts: RefusalFacts = {}): Finding {
    const { policy, isEnforced } = this.#settings;
    return { effect: isEnforced ? 'refuse' : 'audit', code, reason, facts: { ...facts, policy } };
  }
}

function judgement(route: string | undefined, findings: readonly Finding[]): HeadJudgement {
  return { route, findings, body: undefined };
}

/** RFC 9110 §9.3.2: HEAD is GET without content in the answer. */
function headByGet(method: string, { byMethod }: PathOperations): RuntimeOperation | undefined {
  return method === 'HEAD' ? byMethod.get('GET') : undefined;
}

function unknownParameter(name: string) {
  return { in: 'query', pointer: pointerTo(name), keyword: 'unknown', message: 'is not declared' } as const;
}

/** The entry of `content` for the request's type, the most specific that fits; a string: why there is none. */
function chooseContent({ operation, contents }: RuntimeOperation, request: RequestParts): RuntimeContent | string {
  if (operation.body === undefined) return 'the operation takes no body';
  const value = headerValue(request.headers, 'content-type');
  const declared = contents.map(({ content }) => content.mediaRange).join(', ');
  if (value === undefined) return `the body has no content-type; declared: ${declared}`;
  const type = parseMediaType(value);
  if (type === undefined) return `the content-type ${shown(value)} cannot be read; declared: ${declared}`;
  let best: RuntimeContent | undefined;
  let bestFit = 0;
  for (const candidate of contents) {
    const fit = rangeFit(candidate.content.mediaRange, type.essence);
    if (fit > bestFit) {
      best = candidate;
      bestFit = fit;
    }
  }
  if (best === undefined) return `the content type ${type.essence} is not declared; declared: ${declared}`;
  return complaint(best, type) ?? best;
}

/** What keeps a body of a declared type from being read, or undefined. */
function complaint({ content }: RuntimeContent, type: MediaType): string | undefined {
  if (content.format === 'opaque') return undefined;
  if (content.format === 'json' && !isJsonType(type.essence)) {
    return `bodies of ${type.essence} cannot be held against the schema of ${content.mediaRange}; only JSON can`;
  }
  if (type.charset !== undefined && type.charset !== 'utf-8' && type.charset !== 'utf8') {
    return `the charset ${shown(type.charset)} is not supported; expected utf-8`;
  }
  return undefined;
}

/** Characters of a header's value in a reason. */
const MAX_SHOWN_LENGTH = 100;

function shown(value: string): string {
  return JSON.stringify(value.length > MAX_SHOWN_LENGTH ? `${value.slice(0, MAX_SHOWN_LENGTH)}…` : value);
}
