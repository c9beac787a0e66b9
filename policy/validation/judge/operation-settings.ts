import type { ApiValidationPolicySpec } from '../../resource/kinds/api-validation-policy.ts';
import { parseTemplate, templateShape } from '../path-template.ts';
import type { OperationSettings } from '../runtime-operation.ts';

type Override = ApiValidationPolicySpec['overrides'][number];

/** An operation as overrides name it. */
export interface NamedOperation {
  /** Upper case. */
  readonly method: string;
  /** With the base path. */
  readonly template: string;
  readonly operationId: string | undefined;
}

/** True where an override is of the operation: by operationId, or by path (whatever its parameters are called) and method. */
export function isOverrideOf(override: Override, operation: NamedOperation): boolean {
  const { operationId, path, method } = override;
  if (operationId !== undefined && operationId !== operation.operationId) return false;
  if (method !== undefined && method.toUpperCase() !== operation.method) return false;
  return path === undefined || shapeOf(path) === shapeOf(operation.template);
}

/** What is said of an override that is of no operation: `no operation has the operationId x`. */
export function unknownOverride({ operationId, path, method }: Override): string {
  if (operationId !== undefined) return `no operation has the operationId ${operationId}`;
  return `no operation is ${[method, path].filter((part) => part !== undefined).join(' ')}`;
}

function shapeOf(path: string): string {
  const parsed = parseTemplate(path);
  return parsed.kind === 'valid' ? templateShape(parsed.segments) : path;
}

/** The policy's settings with the overrides of an operation on top, in their order. */
export function settingsOf(spec: ApiValidationPolicySpec, operation: NamedOperation): OperationSettings {
  let settings = { mode: spec.mode, request: spec.request, response: spec.response, limits: spec.limits };
  for (const override of spec.overrides) {
    if (!isOverrideOf(override, operation)) continue;
    settings = {
      mode: override.mode ?? settings.mode,
      request: over(settings.request, override.request),
      response: over(settings.response, override.response),
      limits: over(settings.limits, override.limits),
    };
  }
  const { mode, request, response, limits } = settings;
  return {
    isEnforced: mode === 'Enforce',
    body: request.body,
    unknownParameters: request.unknownParameters,
    unknownProperties: request.unknownProperties,
    unenforceable: request.unenforceable,
    maxBodyBytes: limits.bodyBytes,
    maxFileBytes: limits.fileBytes,
    json: {
      maxDepth: limits.jsonDepth,
      denyDuplicateKeys: limits.duplicateKeys === 'Deny',
      denyInexactIntegers: limits.inexactIntegers === 'Deny',
    },
    response,
  };
}

/** `base` with the fields that `more` has. */
function over<T extends object>(base: T, more: { readonly [K in keyof T]?: T[K] | undefined } | undefined): T {
  const given = Object.entries(more ?? {}).filter(([, value]) => value !== undefined);
  return { ...base, ...Object.fromEntries(given) };
}

/** True where unknown properties of some operation are looked for: only then the declared names are compiled. */
export function looksForUnknownProperties(spec: ApiValidationPolicySpec): boolean {
  const choices = [spec.request, ...spec.overrides.map(({ request }) => request)];
  return choices.some((request) => (request?.unknownProperties ?? 'Allow') !== 'Allow');
}

/** True where some operation's responses are judged: only then they are compiled. */
export function judgesResponses(spec: ApiValidationPolicySpec): boolean {
  const modes = [spec.response, ...spec.overrides.map(({ response }) => response)];
  return modes.some((response) => Object.values(response ?? {}).some((mode) => mode !== undefined && mode !== 'Off'));
}
