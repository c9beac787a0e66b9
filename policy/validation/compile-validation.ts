import type { Resource } from '../resource/kind.ts';
import type { ApiSchemaSpec, Lifecycle } from '../resource/kinds/api-schema.ts';
import type { ApiValidationPolicySpec } from '../resource/kinds/api-validation-policy.ts';
import { finish } from '../steps/finish.ts';
import type { Steps, TakeSteps } from '../steps/take-in-slices.ts';
import type { RequestValidation } from '../workload-policy.ts';
import type { ApiOperation, ApiResponse, CompiledDocument, GrpcMethod, ParameterLocation } from './api-model.ts';
import { fieldDetailsTo } from './field-details.ts';
import type { GenerateValidators } from './generate-validators.ts';
import { DocumentValidators } from './instantiate-validators.ts';
import { GrpcResponses } from './judge/grpc-responses.ts';
import {
  isOverrideOf,
  judgesResponses,
  looksForUnknownProperties,
  settingsOf,
  unknownOverride,
} from './judge/operation-settings.ts';
import { lifecycleOf, noticesOf } from './lifecycle.ts';
import { parseTemplate } from './path-template.ts';
import { CallableMethods } from './protobuf/callable-methods.ts';
import { type PathOperations, RequestValidator } from './request-validator.ts';
import { ResponseValidator } from './response-validator.ts';
import { Router } from './router.ts';
import {
  type OperationSettings,
  type RuntimeOperation,
  type RuntimeResponse,
  runtimeContent,
  runtimeParameters,
} from './runtime-operation.ts';

export interface ValidationInput {
  /** Those that bind the workload. */
  readonly policies: readonly Resource<ApiValidationPolicySpec>[];
  /** At least those that the policies name. */
  readonly schemas: readonly Resource<ApiSchemaSpec>[];
  readonly generate: GenerateValidators;
  /** How thousands of operations are put together; default: at once. */
  readonly take?: TakeSteps | undefined;
}

export interface CompiledValidation {
  /** Undefined: no policy binds the workload. */
  readonly validation: RequestValidation | undefined;
  /** One line each: what the policies ask for and do not get. What cannot be checked is refused. */
  readonly problems: readonly string[];
}

/**
 * Compiles the request validation of one workload. Of several policies the first by namespace and name is in
 * force. Rejects when `generate` does.
 */
export async function compileValidation({
  policies,
  schemas,
  generate,
  take = async (steps) => finish(steps),
}: ValidationInput): Promise<CompiledValidation> {
  const [policy, ...others] = [...policies].sort(byName);
  if (policy === undefined) return { validation: undefined, problems: [] };
  const problems = others.map(
    (other) =>
      `APIValidationPolicy ${nameOf(other)} is not in force: ${nameOf(policy)} binds the same workload and comes first`,
  );
  const faults: string[] = [];
  const sources = [...new Set(policy.spec.schemaRefs)].flatMap((name) => {
    const found = schemas.find((schema) => schema.namespace === policy.namespace && schema.name === name);
    if (found === undefined) faults.push(`APISchema ${policy.namespace}/${name} does not exist`);
    return found ?? [];
  });
  const responses = judgesResponses(policy.spec);
  const names = looksForUnknownProperties(policy.spec);
  const jobs = sources.flatMap((schema) => {
    const { openapi, protoDescriptorSet, lifecycle } = schema.spec;
    const document = openapi ?? (protoDescriptorSet && { descriptorSet: protoDescriptorSet });
    return document === undefined ? [] : [{ name: nameOf(schema), document, responses, names, lifecycle }];
  });
  const documents = await generate(jobs.map(({ lifecycle: _lifecycle, ...job }) => job));
  const assembly = new Assembly(policy, problems);
  for (const [index, document] of documents.entries()) {
    const name = jobs[index]?.name ?? '';
    for (const error of document.errors) faults.push(`APISchema ${name}: ${error}`);
    await take(assembly.adding(name, document, jobs[index]?.lifecycle));
  }
  return { validation: await take(assembly.finishing(faults)), problems: [...faults, ...problems] };
}

function byName(left: Resource<unknown>, right: Resource<unknown>): number {
  if (left.namespace !== right.namespace) return left.namespace < right.namespace ? -1 : 1;
  return left.name < right.name ? -1 : 1;
}

function nameOf({ namespace, name }: Resource<unknown>): string {
  return `${namespace}/${name}`;
}

interface DocumentedOperation {
  readonly document: string;
  runtime: RuntimeOperation;
}

/** Joins the operations of several documents under one policy. */
class Assembly {
  readonly #policy: Resource<ApiValidationPolicySpec>;
  readonly #problems: string[];
  readonly #router = new Router<Map<string, DocumentedOperation>>();
  readonly #paths: { readonly template: string; readonly operations: Map<string, DocumentedOperation> }[] = [];
  readonly #unused: Set<ApiValidationPolicySpec['overrides'][number]>;
  readonly #methods: CallableMethods;

  constructor(policy: Resource<ApiValidationPolicySpec>, problems: string[]) {
    this.#policy = policy;
    this.#problems = problems;
    this.#unused = new Set(policy.spec.overrides);
    this.#methods = new CallableMethods(policy.spec.grpc);
  }

  *adding(name: string, document: CompiledDocument, lifecycle: Lifecycle | undefined): Steps<void> {
    for (const problem of document.problems) this.#problems.push(`APISchema ${name}: ${problem}`);
    const units = new DocumentValidators(document.units);
    for (const operation of document.operations) {
      this.#addOperation(name, operation, document, units, lifecycle);
      yield;
    }
  }

  #addOperation(
    name: string,
    operation: ApiOperation,
    document: CompiledDocument,
    units: DocumentValidators,
    lifecycle: Lifecycle | undefined,
  ): void {
    if (operation.webhook !== undefined && operation.template === '') {
      const places = this.#policy.spec.webhooks.filter((webhook) => isNamed(webhook, operation.webhook));
      for (const { path } of places)
        this.#addOperation(name, { ...operation, template: path }, document, units, lifecycle);
      return;
    }
    for (const override of this.#unused) if (isOverrideOf(override, operation)) this.#unused.delete(override);
    if (operation.grpc !== undefined && !this.#methods.takes(operation.template)) return;
    const operations = this.#operationsAt(operation.template);
    const key = operation.webhook === undefined ? operation.method : `webhook ${operation.webhook}`;
    const other = operations.get(key);
    if (other === undefined) {
      const settings = settingsOf(this.#policy.spec, operation);
      const runtime = {
        ...runtimeOperation(operation, document, units, settings, nameOf(this.#policy)),
        lifecycle: lifecycleOf(lifecycle, operation.isDeprecated),
        notices: noticesOf(lifecycle),
      };
      operations.set(key, { document: name, runtime });
      return;
    }
    const title = `${operation.method} ${operation.template}`;
    const message = `${title} is in two documents, ${other.document} and ${name}`;
    this.#problems.push(`APIValidationPolicy ${nameOf(this.#policy)}: ${message}; it is refused`);
    other.runtime = { ...other.runtime, operation: { ...other.runtime.operation, unavailable: message } };
  }

  #operationsAt(template: string): Map<string, DocumentedOperation> {
    const fresh = new Map<string, DocumentedOperation>();
    const known = this.#router.add(template, fresh);
    if (known !== undefined) return known;
    this.#paths.push({ template, operations: fresh });
    return fresh;
  }

  #pathOperations(template: string, operations: Map<string, DocumentedOperation>): PathOperations {
    const place = this.#policy.spec.webhooks.find(({ path }) => path === template);
    if (place?.eventHeader === undefined) this.#refuseAmbiguous(template, operations);
    return operationsOf(operations, place?.eventHeader);
  }

  /** Without a header field that tells webhooks apart, one at most is of a method. */
  #refuseAmbiguous(template: string, operations: Map<string, DocumentedOperation>): void {
    const byMethod = new Map<string, DocumentedOperation>();
    for (const documented of operations.values()) {
      const { method } = documented.runtime.operation;
      const other = byMethod.get(method);
      byMethod.set(method, documented);
      if (other === undefined) continue;
      const message = `several webhooks arrive by ${method} at ${template}: webhooks.eventHeader must say what tells them apart`;
      this.#problems.push(`APIValidationPolicy ${nameOf(this.#policy)}: ${message}; all are refused`);
      for (const refused of [other, documented]) {
        const { runtime } = refused;
        refused.runtime = { ...runtime, operation: { ...runtime.operation, unavailable: message } };
      }
    }
  }

  *finishing(faults: readonly string[]): Steps<RequestValidator> {
    const { spec } = this.#policy;
    for (const override of this.#unused) {
      this.#problems.push(`APIValidationPolicy ${nameOf(this.#policy)}: ${unknownOverride(override)}`);
    }
    for (const pattern of this.#methods.unused) {
      this.#problems.push(`APIValidationPolicy ${nameOf(this.#policy)}: grpc.methods: no method is ${pattern}`);
    }
    const router = new Router<PathOperations>();
    for (const { template, operations } of this.#paths) {
      router.add(template, this.#pathOperations(template, operations));
      yield;
    }
    return new RequestValidator(router, {
      policy: nameOf(this.#policy),
      isEnforced: spec.mode === 'Enforce',
      undocumented: spec.request.undocumented,
      incomplete: faults[0],
      methods: this.#methods,
      tellsDetailsTo: fieldDetailsTo(spec.fieldDetails),
    });
  }
}

/** Operations by method; webhooks by name where a header field tells them apart. */
function operationsOf(
  operations: ReadonlyMap<string, DocumentedOperation>,
  eventHeader: string | undefined,
): PathOperations {
  const all = [...operations.values()].map(({ runtime }) => runtime);
  const events = eventHeader === undefined ? [] : all.filter(({ operation }) => operation.webhook !== undefined);
  const byMethod = new Map(
    all.filter((runtime) => !events.includes(runtime)).map((runtime) => [runtime.operation.method, runtime]),
  );
  const methods = new Set(all.map(({ operation }) => operation.method));
  if (methods.has('GET')) methods.add('HEAD');
  const byName = new Map(events.map((runtime) => [runtime.operation.webhook ?? '', runtime]));
  return {
    byMethod,
    allow: [...methods].sort().join(', '),
    events: eventHeader === undefined ? undefined : { header: eventHeader, byName },
  };
}

function isNamed({ names }: ApiValidationPolicySpec['webhooks'][number], name: string | undefined): boolean {
  return names === undefined || names.some((one) => one === name);
}

function runtimeOperation(
  operation: ApiOperation,
  document: CompiledDocument,
  units: DocumentValidators,
  settings: OperationSettings,
  policy: string,
): Omit<RuntimeOperation, 'lifecycle' | 'notices'> {
  if (operation.grpc !== undefined) return runtimeMethod(operation, operation.grpc, document, units, settings, policy);
  const template = parseTemplate(operation.template);
  const names = template.kind === 'valid' ? template.segments.flatMap((segment) => segment.names) : [];
  const parameters = runtimeParameters(operation.parameters, operation.parametersUnit, units, names);
  const of = (place: ParameterLocation) => parameters.filter(({ parameter }) => parameter.in === place);
  const contents = (operation.body?.contents ?? []).map((content) => runtimeContent(content, units));
  const isJudged = Object.values(settings.response).some((mode) => mode !== 'Off');
  const responses = new Map(
    (isJudged ? (operation.responses ?? []) : []).map((response) => [
      response.status,
      runtimeResponse(response, units),
    ]),
  );
  return {
    operation,
    document,
    settings,
    path: of('path'),
    query: of('query'),
    header: of('header'),
    cookie: of('cookie'),
    contents,
    responses: isJudged
      ? new ResponseValidator({ policy, document, settings: { ...settings, unenforceable: 'Deny' }, responses })
      : undefined,
  };
}

function runtimeMethod(
  operation: ApiOperation,
  { request, response, isServerStreaming }: GrpcMethod,
  document: CompiledDocument,
  units: DocumentValidators,
  settings: OperationSettings,
  policy: string,
): Omit<RuntimeOperation, 'lifecycle' | 'notices'> {
  const content = runtimeContent(response, units);
  return {
    ...{ operation, document, settings, path: [], query: [], header: [], cookie: [], contents: [] },
    messages: runtimeContent(request, units),
    responses:
      settings.response.body === 'Off'
        ? undefined
        : new GrpcResponses({ policy, document, settings, content, isStream: isServerStreaming }),
  };
}

function runtimeResponse(response: ApiResponse, units: DocumentValidators): RuntimeResponse {
  return {
    response,
    headers: runtimeParameters(response.headers, response.headersUnit, units, []),
    contents: response.contents.map((content) => runtimeContent(content, units)),
  };
}
