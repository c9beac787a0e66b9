import type { HeaderField, ResponseValidation } from '../workload-policy.ts';
import type { ApiContent, ApiOperation, ApiParameter, ApiResponse, CompiledDocument } from './api-model.ts';
import type { JsonLimits } from './decode/scan-json.ts';
import { FieldOwners } from './decode/styled-values.ts';
import { type DocumentValidators, MAIN_EXPORT, type Validator } from './instantiate-validators.ts';
import type { MessageJudge } from './protobuf/judge-message.ts';
import type { NamesUnit } from './schema/declared-names.ts';
import type { Unenforceable } from './schema/judgement.ts';

/** Off: not looked at; Audit: judged and recorded; Enforce: what does not fit never reaches the caller. */
export type ResponseMode = 'Off' | 'Audit' | 'Enforce';

/** What a policy asks of one operation, its overrides applied. */
export interface OperationSettings {
  /** False: what does not fit is recorded, and passes. */
  readonly isEnforced: boolean;
  readonly body: 'Strict' | 'Skip';
  readonly unknownParameters: 'Deny' | 'Report' | 'Allow';
  readonly unknownProperties: 'Deny' | 'Report' | 'Allow';
  /** Of texts that a pattern is asked of which cannot be enforced. */
  readonly unenforceable: Unenforceable;
  readonly maxBodyBytes: number;
  /** Of files that stream; 0: none does. */
  readonly maxFileBytes: number;
  readonly json: JsonLimits;
  readonly response: {
    readonly body: ResponseMode;
    readonly headers: ResponseMode;
    readonly undeclaredStatus: ResponseMode;
  };
}

export interface RuntimeParameter {
  readonly parameter: ApiParameter;
  /** Lower case for headers. */
  readonly key: string;
  /** Of a path parameter: which of the template's parameters it is; else -1. */
  readonly position: number;
  readonly validator: Validator;
  /** The same parameter by its other shapes. */
  readonly alternatives: readonly RuntimeParameter[];
}

export interface RuntimeContent {
  readonly content: ApiContent;
  /** Undefined: anything well-formed is valid. */
  readonly validator: Validator | undefined;
  /** Undefined: the policy does not ask for unknown properties. */
  readonly names: { readonly unit: NamesUnit; readonly node: number } | undefined;
  /** Header fields that the parts of properties are held against, by property. */
  readonly partHeaders?: ReadonlyMap<string, readonly RuntimeParameter[]> | undefined;
  /** Finds the properties that fields and parts are of; undefined: each has its own name. */
  readonly owners?: FieldOwners | undefined;
  /** Of protobuf. */
  readonly messages?: MessageJudge | undefined;
}

export interface RuntimeResponse {
  readonly response: ApiResponse;
  readonly headers: readonly RuntimeParameter[];
  readonly contents: readonly RuntimeContent[];
}

/** An operation as requests are held against it. */
export interface RuntimeOperation {
  readonly operation: ApiOperation;
  /** That the operation is of. */
  readonly document: CompiledDocument;
  readonly settings: OperationSettings;
  readonly path: readonly RuntimeParameter[];
  readonly query: readonly RuntimeParameter[];
  readonly header: readonly RuntimeParameter[];
  readonly cookie: readonly RuntimeParameter[];
  readonly contents: readonly RuntimeContent[];
  /** Of a gRPC method: its request's messages. */
  readonly messages?: RuntimeContent | undefined;
  readonly lifecycle: 'Active' | 'Deprecated' | 'Retired';
  /** Header fields that its responses get: Deprecation, Sunset. */
  readonly notices: readonly HeaderField[];
  /** Undefined: the policy asks nothing of its responses. */
  readonly responses: ResponseValidation | undefined;
}

/** An entry of `content` with its validator. */
export function runtimeContent(content: ApiContent, validators: DocumentValidators): RuntimeContent {
  const { names } = content;
  if (content.format === 'protobuf') {
    return { content, names: undefined, validator: undefined, messages: validators.messages(content.unit ?? -1) };
  }
  const styled = content.form?.styled ?? content.multipart?.styled ?? [];
  const partHeaders = content.partHeaders?.map(({ property, headers, unit }) => {
    return [property, runtimeParameters(headers, unit, validators)] as const;
  });
  return {
    content,
    owners: styled.length === 0 ? undefined : new FieldOwners(styled),
    partHeaders: partHeaders && new Map(partHeaders),
    names: names && { unit: validators.names(names.unit), node: names.node },
    validator: content.unit === undefined ? undefined : validators.validator(content.unit, MAIN_EXPORT),
  };
}

/** Parameters with their validators. `names`: those of the path's template, in its order. */
export function runtimeParameters(
  parameters: readonly ApiParameter[],
  unit: number | undefined,
  validators: DocumentValidators,
  names: readonly string[] = [],
): readonly RuntimeParameter[] {
  return parameters.map((parameter, index) => {
    const runtime = {
      parameter,
      key: parameter.in === 'header' ? parameter.name.toLowerCase() : parameter.name,
      position: parameter.in === 'path' ? names.indexOf(parameter.name) : -1,
      validator: validators.validator(unit ?? -1, `p${index}`),
      alternatives: [],
    };
    const alternatives = parameter.alternatives.map((shape) => ({ ...runtime, parameter: { ...parameter, shape } }));
    return { ...runtime, alternatives };
  });
}
