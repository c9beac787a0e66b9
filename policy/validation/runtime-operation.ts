import type { ApiContent, ApiOperation, ApiParameter, CompiledDocument } from './api-model.ts';
import type { Validator, ValidatorUnit } from './instantiate-validators.ts';
import type { JsonLimits } from './scan-json.ts';

/** What a policy asks of one operation, its overrides applied. */
export interface OperationSettings {
  readonly body: 'Strict' | 'Skip';
  readonly unknownParameters: 'Deny' | 'Report' | 'Allow';
  readonly maxBodyBytes: number;
  readonly json: JsonLimits;
}

export interface RuntimeParameter {
  readonly parameter: ApiParameter;
  /** Lower case for headers. */
  readonly key: string;
  /** Of a path parameter: which of the template's parameters it is; else -1. */
  readonly position: number;
  readonly validator: Validator;
}

export interface RuntimeContent {
  readonly content: ApiContent;
  /** Undefined: anything well-formed is valid. */
  readonly validator: Validator | undefined;
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
}

/** An entry of `content` with its validator. */
export function runtimeContent(content: ApiContent, units: readonly ValidatorUnit[]): RuntimeContent {
  return { content, validator: content.unit === undefined ? undefined : validatorOf(units[content.unit], 'b0') };
}

/** A validator that generated code was to export. */
export function validatorOf(unit: ValidatorUnit | undefined, name: string): Validator {
  const validator = unit?.get(name);
  if (validator === undefined) throw new Error(`the generated code has no validator ${name}`);
  return validator;
}
