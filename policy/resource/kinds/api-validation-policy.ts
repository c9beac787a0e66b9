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
  refined,
  required,
  string,
} from '../../schema/schema.ts';
import { byteQuantity } from '../byte-quantity.ts';
import type { ResourceKind } from '../kind.ts';
import { attachmentFields, checkAttachment } from './attachment.ts';

/** Largest `limits.bodyBytes`: a body that is judged is held in memory as a whole. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** Largest `limits.jsonDepth`: what lies behind (JSON.parse, validators) recurses. */
export const MAX_JSON_DEPTH = 512;

/** Largest `limits.fileBytes`: files are not held. */
const MAX_FILE_BYTES = 1024 ** 4;

const DEFAULT_BODY_BYTES = 1024 * 1024;
const DEFAULT_JSON_DEPTH = 64;

/** Of OpenAPI 3.1 §4.8.9. */
const METHODS = ['GET', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH', 'TRACE'] as const;

/** Source: gRPC over HTTP/2, Path. */
const METHOD_PATTERN = /^[A-Za-z_][\w.]*\/(?:[A-Za-z_]\w*|\*)$/;

function pathComplaint(path: string): string | undefined {
  return path.startsWith('/') && !/[?#{}]/.test(path)
    ? undefined
    : `${path} is not a path: it begins with / and has no ?, # or braces`;
}

const action = ['Deny', 'Report', 'Allow'] as const;
const bodyMode = choice(['Strict', 'Skip'], {
  description:
    'Strict: a body must be there where the operation requires it, of a declared type, and valid. Skip: bodies are not looked at; limits.bodyBytes holds for a declared length.',
});
const unknownProperties = choice(action, {
  description:
    "Properties of JSON bodies that no branch of the schema declares, at any depth, and fields that messages of gRPC do not have. Allow: the schema's own additionalProperties decides. Where the schema allows others expressly (patternProperties, additionalProperties of true or a schema), none is unknown.",
});
const unenforceable = choice(['Deny', 'Report'], {
  description:
    'Texts that a pattern is asked of which cannot be matched in linear time (`lateral check` lists them). Deny: refused. Report: taken, and recorded.',
});
const bodyBytes = byteQuantity({
  minimum: 0,
  maximum: MAX_BODY_BYTES,
  description: 'Longest body, and longest message of a gRPC call; more is 413.',
});
const fileBytes = byteQuantity({
  minimum: 0,
  maximum: MAX_FILE_BYTES,
  description:
    'Of multipart/form-data: files of so many bytes together go on to the app as they come, beside bodyBytes for the rest of the form, whose end goes on when it was judged; a refusal then ends the request before the form is whole. 0: a form is held back whole, files included, within bodyBytes.',
});
const jsonDepth = integer({
  minimum: 1,
  maximum: MAX_JSON_DEPTH,
  description: 'Deepest nesting of arrays and objects in a JSON body; 1 is an array of plain values.',
});
const duplicateKeys = choice(['Deny', 'Allow'], {
  description: 'Whether an object in a JSON body may name a key twice (where it may, the last one is judged).',
});

const inexactIntegers = choice(['Deny', 'Allow'], {
  description:
    'Integers in a JSON body that a double does not hold exactly (beyond 2^53), which programs read differently. Allow: the nearest double is judged.',
});

const request = object({
  body: defaulted(bodyMode, 'Strict'),
  unknownParameters: defaulted(choice(action, { description: 'Query parameters the operation lacks.' }), 'Deny'),
  unknownProperties: defaulted(unknownProperties, 'Allow'),
  unenforceable: defaulted(unenforceable, 'Deny'),
  undocumented: defaulted(choice(action, { description: 'Paths and methods the documents lack.' }), 'Deny'),
});

const responseModes = ['Off', 'Audit', 'Enforce'] as const;
const responseBody = choice(responseModes, {
  description:
    'Audit: bodies are judged as they stream past, up to limits.bodyBytes, and recorded. Enforce: a body is held back until it is judged; one that is longer, or does not fit, is answered with 502 invalid_response. An event stream has no end to wait for: set Off for its operation.',
});
const undeclaredStatus = choice(responseModes, {
  description: 'A status that the operation lacks, its ranges and default included.',
});
const responseHeaders = choice(responseModes, {
  description: 'Header fields that the response declares: present where required, and valid.',
});

const response = object({
  body: defaulted(responseBody, 'Off'),
  undeclaredStatus: defaulted(undeclaredStatus, 'Off'),
  headers: defaulted(responseHeaders, 'Off'),
});

const mode = choice(['Audit', 'Enforce'], { description: 'Audit: judged and recorded, never refused.' });

const limits = object({
  bodyBytes: defaulted(bodyBytes, DEFAULT_BODY_BYTES),
  fileBytes: defaulted(fileBytes, 0),
  jsonDepth: defaulted(jsonDepth, DEFAULT_JSON_DEPTH),
  duplicateKeys: defaulted(duplicateKeys, 'Deny'),
  inexactIntegers: defaulted(inexactIntegers, 'Allow'),
});

const overrideFields = object({
  operationId: optional(string({ description: 'The operation, by its operationId.' })),
  path: optional(
    string({ description: 'Operations by their path, as documented with the base path in front: `/v1/orders/{id}`.' }),
  ),
  method: optional(choice(METHODS, { description: 'With path: of this method alone.' })),
  mode: optional(mode),
  request: optional(
    object({
      body: optional(bodyMode),
      unknownParameters: optional(choice(action)),
      unknownProperties: optional(unknownProperties),
      unenforceable: optional(unenforceable),
    }),
  ),
  response: optional(
    object({
      body: optional(responseBody),
      undeclaredStatus: optional(undeclaredStatus),
      headers: optional(responseHeaders),
    }),
  ),
  limits: optional(
    object({
      bodyBytes: optional(bodyBytes),
      fileBytes: optional(fileBytes),
      jsonDepth: optional(jsonDepth),
      duplicateKeys: optional(duplicateKeys),
      inexactIntegers: optional(inexactIntegers),
    }),
  ),
});

const override = refined(overrideFields, ({ operationId, path, method }, at, context) => {
  if (operationId !== undefined ? path === undefined && method === undefined : path !== undefined) return true;
  context.fail(at, 'invalid_value', 'expected either operationId, or path with or without method');
  return false;
});

const fieldDetails = object(
  {
    principals: defaulted(
      list(string({ description: 'Without the scheme: cluster.local/ns/shop/sa/web; `prefix*`, `*suffix`, `*`.' })),
      [],
    ),
    namespaces: defaulted(list(string({ description: 'Of callers; `prefix*`, `*suffix`, `*`.' })), []),
  },
  'Callers, proven by their certificates, that are told what is wrong with their requests, field by field. All others are told the code alone.',
);

const grpc = object(
  {
    methods: optional(
      list(
        string({
          description: '`shop.v1.Orders/Get`, `shop.v1.Orders/*`.',
          check: (value) =>
            METHOD_PATTERN.test(value)
              ? undefined
              : `${value} is no method: expected PACKAGE.SERVICE/METHOD or PACKAGE.SERVICE/*`,
        }),
        { minItems: 1 },
      ),
    ),
    exempt: defaulted(
      list(
        choice(['Health', 'Reflection'], {
          description:
            'Services of gRPC itself that may be called though no descriptor set has them; nothing of them is judged.',
        }),
      ),
      [],
    ),
  },
  'gRPC methods that may be called: those of `methods`; absent, all that the descriptor sets have. All others are undocumented.',
);

const webhook = object(
  {
    path: required(
      string({ description: 'Where they arrive at the workload: `/hooks/github`.', check: pathComplaint }),
    ),
    names: optional(list(string({ description: 'Of webhooks; absent: all of the documents.' }), { minItems: 1 })),
    eventHeader: optional(
      string({
        description:
          'Header field whose value names the webhook, as x-github-event. Needed where several of them arrive by one method at the path.',
      }),
    ),
  },
  'Where webhooks that the documents describe (OpenAPI 3.1 `webhooks`) arrive.',
);

const spec = object({
  ...attachmentFields,
  schemaRefs: required(list(string({ description: 'Name of an APISchema of the same namespace.' }), { minItems: 1 })),
  mode: defaulted(mode, 'Audit'),
  request: whole(request),
  response: whole(response),
  limits: whole(limits),
  webhooks: defaulted(list(webhook), []),
  fieldDetails: whole(fieldDetails),
  grpc: whole(grpc),
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
  description: 'Holds requests to workloads against the OpenAPI documents and protobuf descriptor sets of their APIs.',
  check: (policy, _mesh, context) => checkAttachment(policy, 'a policy', context),
};
