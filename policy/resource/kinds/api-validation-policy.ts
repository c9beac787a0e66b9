import {
  choice,
  defaulted,
  type Field,
  type Infer,
  integer,
  list,
  object,
  optional,
  planned,
  required,
  string,
} from '../../schema/schema.ts';
import { byteQuantity } from '../../validation/byte-quantity.ts';
import type { ResourceKind } from '../kind.ts';
import { attachmentFields, checkAttachment } from './attachment.ts';

/** Largest `limits.bodyBytes`: a body that is judged is held in memory as a whole. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** Largest `limits.jsonDepth`: what lies behind (JSON.parse, validators) recurses. */
export const MAX_JSON_DEPTH = 512;

const DEFAULT_BODY_BYTES = 1024 * 1024;
const DEFAULT_JSON_DEPTH = 64;

const action = ['Deny', 'Report', 'Allow'] as const;
const bodyMode = choice(['Strict', 'Skip'], {
  description:
    'Strict: a body must be there where the operation requires it, of a declared type, and valid. Skip: bodies are not looked at; limits.bodyBytes holds for a declared length.',
});
const unknownProperties = choice(['Allow'], {
  planned: ['Deny', 'Report'],
  description: "Allow: the schema's own additionalProperties decides.",
});
const bodyBytes = byteQuantity({ minimum: 0, maximum: MAX_BODY_BYTES, description: 'Longest body; more is 413.' });
const jsonDepth = integer({
  minimum: 1,
  maximum: MAX_JSON_DEPTH,
  description: 'Deepest nesting of arrays and objects in a JSON body; 1 is an array of plain values.',
});
const duplicateKeys = choice(['Deny', 'Allow'], {
  description: 'Whether an object in a JSON body may name a key twice (where it may, the last one is judged).',
});

const request = object({
  body: defaulted(bodyMode, 'Strict'),
  unknownParameters: defaulted(choice(action, { description: 'Query parameters the operation lacks.' }), 'Deny'),
  unknownProperties: defaulted(unknownProperties, 'Allow'),
  undocumented: defaulted(choice(action, { description: 'Paths and methods the documents lack.' }), 'Deny'),
});

const responseMode = choice(['Off'], { planned: ['Audit', 'Enforce'] });

const limits = object({
  bodyBytes: defaulted(bodyBytes, DEFAULT_BODY_BYTES),
  jsonDepth: defaulted(jsonDepth, DEFAULT_JSON_DEPTH),
  duplicateKeys: defaulted(duplicateKeys, 'Deny'),
});

const override = object({
  operationId: required(string({ description: 'The operation, by its operationId.' })),
  request: optional(
    object({
      body: optional(bodyMode),
      unknownParameters: optional(choice(action)),
      unknownProperties: optional(unknownProperties),
    }),
  ),
  limits: optional(
    object({
      bodyBytes: optional(bodyBytes),
      jsonDepth: optional(jsonDepth),
      duplicateKeys: optional(duplicateKeys),
    }),
  ),
});

const spec = object({
  ...attachmentFields,
  schemaRefs: required(list(string({ description: 'Name of an APISchema of the same namespace.' }), { minItems: 1 })),
  mode: defaulted(choice(['Audit', 'Enforce'], { description: 'Audit: judged and recorded, never refused.' }), 'Audit'),
  request: whole(request),
  response: whole(object({ body: defaulted(responseMode, 'Off'), undeclaredStatus: defaulted(responseMode, 'Off') })),
  limits: whole(limits),
  graphql: planned('graphql'),
  overrides: defaulted(list(override), []),
});

/** A mapping all of whose fields have defaults: in force with them when it is absent. */
function whole<T>(schema: Parameters<typeof required<T>>[0]): Field<T> {
  const value = schema.read({}, [], { fail() {}, warn() {} });
  if (value === undefined) throw new TypeError('a field without a default');
  return defaulted(schema, value);
}

export type ApiValidationPolicySpec = Infer<typeof spec>;

/** APIValidationPolicy: what requests to the selected workloads must satisfy. */
export const apiValidationPolicyKind: ResourceKind<ApiValidationPolicySpec> = {
  kind: 'APIValidationPolicy',
  plural: 'apivalidationpolicies',
  apiVersions: ['lateral.dev/v1alpha1'],
  spec,
  description: 'Holds requests to workloads against the OpenAPI documents of their APIs.',
  check: (policy, _mesh, context) => checkAttachment(policy, 'a policy', context),
};
