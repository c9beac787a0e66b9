import type { Resource } from '../resource/kind.ts';
import type { ApiSchemaSpec } from '../resource/kinds/api-schema.ts';
import type { ApiValidationPolicySpec } from '../resource/kinds/api-validation-policy.ts';
import type { RequestValidation } from '../workload-policy.ts';
import type { ApiOperation, CompiledDocument, ParameterLocation } from './api-model.ts';
import type { GenerateValidators } from './generate-validators.ts';
import { instantiateValidators, type ValidatorUnit } from './instantiate-validators.ts';
import { parseTemplate } from './path-template.ts';
import { type PathOperations, RequestValidator } from './request-validator.ts';
import { Router } from './router.ts';
import {
  type OperationSettings,
  type RuntimeOperation,
  type RuntimeParameter,
  runtimeContent,
  validatorOf,
} from './runtime-operation.ts';

export interface ValidationInput {
  /** Those that bind the workload. */
  readonly policies: readonly Resource<ApiValidationPolicySpec>[];
  /** At least those that the policies name. */
  readonly schemas: readonly Resource<ApiSchemaSpec>[];
  readonly generate: GenerateValidators;
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
export async function compileValidation({ policies, schemas, generate }: ValidationInput): Promise<CompiledValidation> {
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
  const jobs = sources.map((schema) => ({ name: nameOf(schema), document: schema.spec.openapi.inline }));
  const documents = await generate(jobs);
  const assembly = new Assembly(policy, problems);
  for (const [index, document] of documents.entries()) {
    const name = jobs[index]?.name ?? '';
    for (const error of document.errors) faults.push(`APISchema ${name}: ${error}`);
    await assembly.add(name, document);
  }
  return { validation: assembly.finish(faults), problems: [...faults, ...problems] };
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
  readonly #operationIds = new Set<string>();

  constructor(policy: Resource<ApiValidationPolicySpec>, problems: string[]) {
    this.#policy = policy;
    this.#problems = problems;
  }

  async add(name: string, document: CompiledDocument): Promise<void> {
    for (const problem of document.problems) this.#problems.push(`APISchema ${name}: ${problem}`);
    const units = await instantiateValidators(document.units);
    for (const operation of document.operations) this.#addOperation(name, operation, document, units);
  }

  #addOperation(
    name: string,
    operation: ApiOperation,
    document: CompiledDocument,
    units: readonly ValidatorUnit[],
  ): void {
    if (operation.operationId !== undefined) this.#operationIds.add(operation.operationId);
    const operations = this.#operationsAt(operation.template);
    const other = operations.get(operation.method);
    if (other === undefined) {
      const runtime = runtimeOperation(
        operation,
        document,
        units,
        settingsOf(this.#policy.spec, operation.operationId),
      );
      operations.set(operation.method, { document: name, runtime });
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

  finish(faults: readonly string[]): RequestValidator {
    const { spec } = this.#policy;
    for (const { operationId } of spec.overrides) {
      if (this.#operationIds.has(operationId)) continue;
      this.#problems.push(
        `APIValidationPolicy ${nameOf(this.#policy)}: no operation has the operationId ${operationId}`,
      );
    }
    const router = new Router<PathOperations>();
    for (const { template, operations } of this.#paths) router.add(template, pathOperations(operations));
    return new RequestValidator(router, {
      policy: nameOf(this.#policy),
      isEnforced: spec.mode === 'Enforce',
      undocumented: spec.request.undocumented,
      incomplete: faults[0],
    });
  }
}

function pathOperations(operations: ReadonlyMap<string, DocumentedOperation>): PathOperations {
  const byMethod = new Map(
    [...operations].map(([method, { runtime }]): [string, RuntimeOperation] => [method, runtime]),
  );
  const methods = new Set(byMethod.keys());
  if (methods.has('GET')) methods.add('HEAD');
  return { byMethod, allow: [...methods].sort().join(', ') };
}

/** The policy's settings with the overrides of an operation on top. */
function settingsOf(spec: ApiValidationPolicySpec, operationId: string | undefined): OperationSettings {
  const { request, limits } = spec;
  let settings = { body: request.body, unknownParameters: request.unknownParameters, ...limits };
  for (const override of spec.overrides) {
    if (operationId === undefined || override.operationId !== operationId) continue;
    const { body, unknownParameters } = override.request ?? {};
    const { bodyBytes, jsonDepth, duplicateKeys } = override.limits ?? {};
    settings = {
      body: body ?? settings.body,
      unknownParameters: unknownParameters ?? settings.unknownParameters,
      bodyBytes: bodyBytes ?? settings.bodyBytes,
      jsonDepth: jsonDepth ?? settings.jsonDepth,
      duplicateKeys: duplicateKeys ?? settings.duplicateKeys,
    };
  }
  return {
    body: settings.body,
    unknownParameters: settings.unknownParameters,
    maxBodyBytes: settings.bodyBytes,
    json: { maxDepth: settings.jsonDepth, denyDuplicateKeys: settings.duplicateKeys === 'Deny' },
  };
}

function runtimeOperation(
  operation: ApiOperation,
  document: CompiledDocument,
  units: readonly ValidatorUnit[],
  settings: OperationSettings,
): RuntimeOperation {
  const unit = operation.parametersUnit === undefined ? undefined : units[operation.parametersUnit];
  const template = parseTemplate(operation.template);
  const names = template.kind === 'valid' ? template.segments.flatMap((segment) => segment.names) : [];
  const parameters = operation.parameters.map(
    (parameter, index): RuntimeParameter => ({
      parameter,
      key: parameter.in === 'header' ? parameter.name.toLowerCase() : parameter.name,
      position: parameter.in === 'path' ? names.indexOf(parameter.name) : -1,
      validator: validatorOf(unit, `p${index}`),
    }),
  );
  const of = (place: ParameterLocation) => parameters.filter(({ parameter }) => parameter.in === place);
  const contents = (operation.body?.contents ?? []).map((content) => runtimeContent(content, units));
  return {
    operation,
    document,
    settings,
    path: of('path'),
    query: of('query'),
    header: of('header'),
    cookie: of('cookie'),
    contents,
  };
}
