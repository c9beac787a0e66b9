import { textContext } from '#policy/schema/document-context.ts';
import {
  anything,
  choice,
  defaulted,
  type Infer,
  integer,
  isRecord,
  list,
  map,
  object,
  optional,
  port,
  required,
  type Schema,
  string,
} from '#policy/schema/schema.ts';

/** App's port where a request names none. */
export const DEFAULT_PORT = 80;
/** Longest path and header value that is read. */
const MAX_TEXT_LENGTH = 65_536;

const text = string({ minLength: 0, maxLength: MAX_TEXT_LENGTH });

/** A header's value, or several fields of one name. */
const headerValues: Schema<readonly string[]> = {
  json: { type: ['string', 'array'] },
  read: (value, path, context) =>
    Array.isArray(value) ? list(text).read(value, path, context) : list(text).read([value], path, context),
};

/** Claims of a token, as if it had been verified. */
const claims: Schema<{ readonly [name: string]: unknown }> = {
  json: { type: 'object' },
  read(value, path, context) {
    if (isRecord(value)) return value;
    context.fail(path, 'invalid_type', 'expected an object of claims');
    return undefined;
  },
};

/** What the app answered. */
const offlineResponse = object({
  status: required(integer({ minimum: 200, maximum: 599 })),
  headers: defaulted(map(headerValues), {}),
  body: optional(anything('For `lateral validate`.')),
  bodyBase64: optional(anything('For `lateral validate`.')),
  messages: optional(anything('For `lateral validate`: messages of protobuf, each in base64.')),
});

/** One request for the commands that judge offline: a line of `--batch`, or put together from options. */
const offlineRequestSchema = object({
  from: optional(text),
  to: required(
    object({
      namespace: required(string()),
      name: required(string()),
      labels: optional(map(text)),
      serviceAccount: optional(text),
      port: defaulted(port(), DEFAULT_PORT),
    }),
  ),
  protocol: defaulted(choice(['http', 'grpc', 'tcp']), 'http'),
  method: optional(
    string({
      check: (value) => (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value) ? undefined : 'not a method (RFC 9110 §9.1)'),
    }),
  ),
  path: optional(text),
  headers: defaulted(map(headerValues), {}),
  sourceIp: optional(text),
  remoteIp: optional(text),
  destinationIp: optional(text),
  sni: optional(text),
  claims: optional(claims),
  body: optional(anything('For `lateral validate`.')),
  bodyBase64: optional(anything('For `lateral validate`.')),
  messages: optional(anything('For `lateral validate`: messages of protobuf, each in base64.')),
  response: optional(offlineResponse),
});

export type OfflineRequest = Infer<typeof offlineRequestSchema>;
export type OfflineResponse = Infer<typeof offlineResponse>;

export type OfflineRequestReading =
  | { readonly kind: 'request'; readonly request: OfflineRequest }
  | { readonly kind: 'broken'; readonly reason: string };

/** Reads one JSON request; a broken one is told apart with every fault found. */
export function readOfflineRequest(line: string): OfflineRequestReading {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    return { kind: 'broken', reason: `not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  return checkOfflineRequest(value);
}

export function checkOfflineRequest(value: unknown): OfflineRequestReading {
  if (!isRecord(value)) return { kind: 'broken', reason: 'expected a JSON object' };
  const reasons: string[] = [];
  const request = offlineRequestSchema.read(value, [], textContext(reasons, 'request'));
  if (request === undefined || reasons.length > 0) return { kind: 'broken', reason: reasons.join('; ') };
  return { kind: 'request', request };
}
