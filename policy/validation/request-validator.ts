import type { Code } from '../error/codes.ts';
import type { RefusalFacts } from '../error/refusal.ts';
import { headerValue } from '../http/flat-headers.ts';
import type {
  BodyPlan,
  Finding,
  FormPlan,
  HeadJudgement,
  LengthPlan,
  MessagePlan,
  RequestParts,
  RequestValidation,
} from '../workload-policy.ts';
import type { MultipartShape } from './api-model.ts';
import type { BodyFault } from './body-fault.ts';
import { codingOf } from './decode/undo-coding.ts';
import type { TellsDetailsTo } from './field-details.ts';
import { type ChosenContent, chooseContent } from './judge/choose-content.ts';
import { judgeBody, malformedForm } from './judge/judge-body.ts';
import { judgeParameters } from './judge/judge-parameters.ts';
import { isProtobufCall, planMessages } from './judge/message-plan.ts';
import type { CallableMethods } from './protobuf/callable-methods.ts';
import type { Router } from './router.ts';
import type { RuntimeContent, RuntimeOperation } from './runtime-operation.ts';
import { beginJudgement, takeReports } from './schema/judgement.ts';
import { describeDetails, MAX_DETAILS, pointerTo } from './schema/validation-details.ts';
import { isWorkUsedUp, MAX_VALIDATION_WORK, MAX_WORK_HERE, renewBodyWork, renewWork } from './schema/work-budget.ts';

/** The operations of one path, by method. */
export interface PathOperations {
  readonly byMethod: ReadonlyMap<string, RuntimeOperation>;
  /** Value of Allow: what the document has, and HEAD where it has GET. */
  readonly allow: string;
  /** Webhooks that arrive here, told apart by a header field; undefined: there are none that need be. */
  readonly events: { readonly header: string; readonly byName: ReadonlyMap<string, RuntimeOperation> } | undefined;
}

/** What a policy says about all requests. */
export interface ValidatorSettings {
  /** NAMESPACE/NAME. */
  readonly policy: string;
  readonly isEnforced: boolean;
  readonly undocumented: 'Deny' | 'Report' | 'Allow';
  /** Why not all documents are in force: what matches none of the others could be of the missing one. */
  readonly incomplete: string | undefined;
  /** Of gRPC. */
  readonly methods: CallableMethods;
  readonly tellsDetailsTo: TellsDetailsTo;
}

/** What is known of a body before it comes. */
interface PlannedBody {
  readonly finding?: Finding;
  readonly plan: BodyPlan | undefined;
  readonly messages?: MessagePlan;
  readonly length?: LengthPlan | undefined;
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
    if (match === undefined) {
      const { methods } = this.#settings;
      if (methods.isExempt(request.path) && isProtobufCall(request.headers)) return judgement(undefined, []);
      const isWithheld = methods.isWithheld(request.path);
      const reason = isWithheld ? 'grpc.methods leaves this method out' : 'no document has this path';
      return this.#undocumented('undocumented_path', reason, undefined, {});
    }
    const path = match.route.value;
    const operation = path.byMethod.get(request.method) ?? headByGet(request.method, path) ?? eventOf(request, path);
    if (operation === undefined) {
      const { allow, events } = path;
      const { template } = match.route;
      if (events !== undefined) {
        return this.#undocumented(
          'undocumented_path',
          `no webhook of ${template} is named by ${events.header}`,
          template,
          {},
        );
      }
      return this.#undocumented('undocumented_method', `${template} has the methods ${allow}`, template, { allow });
    }
    const judged = this.#operation(operation, match.values, request);
    return this.#settings.tellsDetailsTo(request.source) ? telling(judged) : judged;
  }

  #operation(operation: RuntimeOperation, values: readonly string[], request: RequestParts): HeadJudgement {
    const { template, unavailable } = operation.operation;
    if (operation.lifecycle === 'Retired') {
      return judgement(template, [this.#finding(operation, 'retired_operation', 'the API that it is of is retired')]);
    }
    if (unavailable !== undefined) {
      return judgement(template, [this.#finding(operation, 'schema_unavailable', unavailable)]);
    }
    renewWork(MAX_WORK_HERE);
    beginJudgement(operation.settings.unenforceable);
    const findings: Finding[] = [];
    const { invalid, unknown } = judgeParameters(operation, values, request.query, request.headers);
    if (invalid.length > 0) {
      const details = invalid.slice(0, MAX_DETAILS);
      findings.push(this.#finding(operation, 'invalid_parameter', describeDetails(details), { details }));
    }
    const reports = takeReports().slice(0, MAX_DETAILS);
    if (reports.length > 0) {
      const finding = this.#finding(operation, 'invalid_parameter', describeDetails(reports), { details: reports });
      findings.push({ ...finding, effect: 'audit' });
    }
    if (unknown.length > 0) findings.push(...this.#unknownParameters(operation, unknown));
    const { messages, finding, plan, length } =
      operation.messages === undefined
        ? this.#body(operation, request)
        : this.#messages(operation, operation.messages, request);
    if (finding !== undefined) findings.push(finding);
    return {
      messages,
      route: template,
      findings,
      body: plan,
      length,
      responses: operation.responses,
      isDeprecated: operation.lifecycle === 'Deprecated',
      notices: operation.notices,
    };
  }

  #undocumented(code: Code, reason: string, route: string | undefined, facts: RefusalFacts): HeadJudgement {
    const { incomplete, undocumented } = this.#settings;
    if (incomplete !== undefined) return judgement(route, [this.#ofPolicy('schema_unavailable', incomplete)]);
    if (undocumented === 'Allow') return judgement(route, []);
    const finding = this.#ofPolicy(code, reason, facts);
    return judgement(route, [undocumented === 'Report' ? { ...finding, effect: 'audit' } : finding]);
  }

  #unknownParameters(operation: RuntimeOperation, names: readonly string[]): readonly Finding[] {
    const { settings } = operation;
    if (settings.unknownParameters === 'Allow') return [];
    const details = names.slice(0, MAX_DETAILS).map((name) => unknownParameter(name));
    const finding = this.#finding(operation, 'unknown_parameter', describeDetails(details), { details });
    return [settings.unknownParameters === 'Report' ? { ...finding, effect: 'audit' } : finding];
  }

  /** Of a gRPC call. */
  #messages(operation: RuntimeOperation, content: RuntimeContent, request: RequestParts): PlannedBody {
    const { document, settings, operation: method } = operation;
    const { headers } = request;
    if (settings.body === 'Skip') return { plan: undefined };
    if (!isProtobufCall(headers)) {
      const reason = 'the method takes application/grpc, with messages of protobuf';
      return { finding: this.#finding(operation, 'unsupported_media_type', reason), plan: undefined };
    }
    const isStream = method.grpc?.isClientStreaming === true;
    // of the whole body gRPC knows none: its messages are coded one by one, by grpc-encoding
    if (codingOf(headerValue(headers, 'content-encoding') ?? '') !== 'identity') {
      const reason = 'gRPC has no content-encoding';
      return { finding: this.#finding(operation, 'unsupported_media_type', reason), plan: undefined };
    }
    if (!request.hasBody) {
      if (isStream) return { plan: undefined };
      return { finding: this.#finding(operation, 'missing_body', 'the method takes a message'), plan: undefined };
    }
    const messages = planMessages({
      ...{ document, content, settings, headers, isStream, isEnforced: settings.isEnforced },
      tooLarge: (bytes) => this.#tooLarge(operation, bytes, 'message'),
      found: (fault) => this.#found(operation, fault),
    });
    return { messages, plan: undefined };
  }

  /** Judges all about the body that is known before it comes, and plans the rest. */
  #body(operation: RuntimeOperation, request: RequestParts): PlannedBody {
    const { settings } = operation;
    const { body } = operation.operation;
    const { maxBodyBytes, maxFileBytes } = settings;
    const takesFiles = maxFileBytes > 0 && operation.contents.some(({ content }) => content.multipart !== undefined);
    const most = maxBodyBytes + (takesFiles ? maxFileBytes : 0);
    if (request.contentLength !== undefined && request.contentLength > most) {
      return { finding: this.#tooLarge(operation, request.contentLength), plan: undefined };
    }
    const length = request.hasBody && request.contentLength === undefined ? this.#length(operation) : undefined;
    if (settings.body === 'Skip') return { plan: undefined, length };
    if (!request.hasBody) {
      if (body?.isRequired !== true) return { plan: undefined };
      return { finding: this.#finding(operation, 'missing_body', 'the operation requires a body'), plan: undefined };
    }
    const chosen =
      body === undefined ? 'the operation takes no body' : chooseContent(operation.contents, request.headers);
    if (typeof chosen === 'string')
      return { finding: this.#finding(operation, 'unsupported_media_type', chosen), plan: undefined };
    const { content } = chosen.content;
    if (content.unavailable !== undefined) {
      return { finding: this.#finding(operation, 'schema_unavailable', content.unavailable), plan: undefined };
    }
    if (content.format === 'opaque') {
      const isLonger = request.contentLength !== undefined && request.contentLength > maxBodyBytes;
      return isLonger
        ? { finding: this.#tooLarge(operation, request.contentLength), plan: undefined }
        : { plan: undefined, length };
    }
    const plan = this.#plan(operation, chosen);
    if (plan.form === undefined && request.contentLength !== undefined && request.contentLength > maxBodyBytes) {
      return { finding: this.#tooLarge(operation, request.contentLength), plan: undefined };
    }
    return { plan };
  }

  /** Of a body that is not read. */
  #length(operation: RuntimeOperation): LengthPlan {
    const { maxBodyBytes, isEnforced } = operation.settings;
    return { maxBytes: maxBodyBytes, isEnforced, tooLarge: (bytes) => this.#tooLarge(operation, bytes) };
  }

  #plan(operation: RuntimeOperation, chosen: ChosenContent): BodyPlan {
    const { content, coding, boundary } = chosen;
    const { settings, document } = operation;
    return {
      maxBytes: settings.maxBodyBytes,
      coding,
      tooLarge: (bytes) => this.#tooLarge(operation, bytes),
      judge: (body) => this.#judge(body, operation, chosen, MAX_VALIDATION_WORK),
      judgeWithin: (body, maxWork) => {
        const findings = this.#judge(body, operation, chosen, maxWork);
        return findings.length > 0 && isWorkUsedUp() ? undefined : findings;
      },
      isEnforced: settings.isEnforced,
      task: { document, content: content.content, settings, boundary },
      found: (fault) => this.#found(operation, fault),
      form: this.#form(operation, chosen),
    };
  }

  /** Of a form that may have files which stream. */
  #form(operation: RuntimeOperation, { content, coding, boundary }: ChosenContent): FormPlan | undefined {
    const { maxFileBytes } = operation.settings;
    const { multipart } = content.content;
    if (maxFileBytes === 0 || multipart === undefined || boundary === undefined || coding !== undefined)
      return undefined;
    return {
      boundary,
      maxFileBytes,
      isFile: (name) => isFilePart(multipart, name),
      tooLarge: (bytes) => {
        const reason = `files of ${bytes} bytes exceed limits.fileBytes ${maxFileBytes}`;
        return this.#finding(operation, 'body_too_large', reason, { limit: `${maxFileBytes} bytes` });
      },
      malformed: (reason) => this.#found(operation, malformedForm(reason)),
    };
  }

  #judge(
    body: Buffer,
    operation: RuntimeOperation,
    { content, boundary }: ChosenContent,
    maxWork: number,
  ): readonly Finding[] {
    renewBodyWork(maxWork);
    if (body.length > 0) return this.#found(operation, judgeBody(body, content, operation.settings, boundary));
    if (operation.operation.body?.isRequired !== true) return [];
    return [this.#finding(operation, 'missing_body', 'the operation requires a body; an empty one came')];
  }

  #found(operation: RuntimeOperation, fault: BodyFault | undefined): readonly Finding[] {
    if (fault === undefined) return [];
    const { code, details } = fault;
    const finding = this.#finding(operation, code, describeDetails(details), { details });
    const isReported =
      fault.isReport === true || (code === 'unknown_property' && operation.settings.unknownProperties === 'Report');
    return [isReported ? { ...finding, effect: 'audit' } : finding];
  }

  #tooLarge(operation: RuntimeOperation, bytes: number, what = 'body'): Finding {
    const { maxBodyBytes } = operation.settings;
    const limit = `${maxBodyBytes} bytes`;
    const reason = `${what} of ${bytes} bytes exceeds limits.bodyBytes ${maxBodyBytes}`;
    return this.#finding(operation, 'body_too_large', reason, { limit });
  }

  #finding({ settings }: RuntimeOperation, code: Code, reason: string, facts: RefusalFacts = {}): Finding {
    const { policy } = this.#settings;
    return { effect: settings.isEnforced ? 'refuse' : 'audit', code, reason, facts: { ...facts, policy } };
  }

  /** A finding about no operation that is known. */
  #ofPolicy(code: Code, reason: string, facts: RefusalFacts = {}): Finding {
    const { policy, isEnforced } = this.#settings;
    return { effect: isEnforced ? 'refuse' : 'audit', code, reason, facts: { ...facts, policy } };
  }
}

/** The same, with findings whose details the caller may be told. */
function telling(judged: HeadJudgement): HeadJudgement {
  const { findings, body, messages } = judged;
  if (body === undefined && messages === undefined) {
    return findings.length === 0 ? judged : { ...judged, findings: told(findings) };
  }
  return {
    ...judged,
    findings: told(findings),
    body: body && tellingPlan(body),
    messages: messages && {
      ...messages,
      plain: tellingPlan(messages.plain),
      coded: messages.coded && tellingPlan(messages.coded),
    },
  };
}

function tellingPlan(plan: BodyPlan): BodyPlan {
  const { form } = plan;
  return {
    ...plan,
    form: form && { ...form, malformed: (reason) => told(form.malformed(reason)) },
    judge: (bytes) => told(plan.judge(bytes)),
    judgeWithin: (bytes, maxWork) => {
      const found = plan.judgeWithin(bytes, maxWork);
      return found === undefined ? undefined : told(found);
    },
    found: (fault) => told(plan.found(fault)),
  };
}

function told(found: readonly Finding[]): readonly Finding[] {
  return found.map((finding) => ({ ...finding, facts: { ...finding.facts, tellsDetails: true } }));
}

function judgement(route: string | undefined, findings: readonly Finding[]): HeadJudgement {
  return { route, findings, body: undefined };
}

/** Of the webhook that the request says it is. */
function eventOf({ method, headers }: RequestParts, { events }: PathOperations): RuntimeOperation | undefined {
  const name = events === undefined ? undefined : headerValue(headers, events.header);
  const operation = name === undefined ? undefined : events?.byName.get(name.trim());
  return operation?.operation.method === method ? operation : undefined;
}

/** RFC 9110 §9.3.2: HEAD is GET without content in the answer. */
function headByGet(method: string, { byMethod }: PathOperations): RuntimeOperation | undefined {
  return method === 'HEAD' ? byMethod.get('GET') : undefined;
}

/** What is not declared counts as part of the form: a file is declared as one. */
function isFilePart({ parts }: MultipartShape, name: string): boolean {
  return Object.hasOwn(parts, name) && parts[name]?.kind === 'opaque';
}

function unknownParameter(name: string) {
  return { in: 'query', pointer: pointerTo(name), keyword: 'unknown', message: 'is not declared' } as const;
}
