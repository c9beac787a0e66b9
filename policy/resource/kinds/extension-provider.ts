import { dashedName } from '../../http/dashed-name.ts';
import { isToken } from '../../http/is-token.ts';
import { istioDuration } from '../../schema/istio-duration.ts';
import {
  boolean,
  defaulted,
  type Infer,
  integer,
  list,
  map,
  object,
  optional,
  port,
  refined,
  required,
  string,
} from '../../schema/schema.ts';

/** Providers of one mesh. */
const MAX_PROVIDERS = 100;
/** Names and patterns of headers in one list. */
const MAX_HEADER_PATTERNS = 100;
/** A request waits no longer for a provider, whatever is configured. */
const MAX_TIMEOUT_MS = 60_000;
/** Istio waits 600 s, and means what a DestinationRule says; here nothing else bounds it. */
const DEFAULT_TIMEOUT_MS = 600;
/** Of a request's body in one check. */
const MAX_CHECKED_BODY_BYTES = 4 * 1024 * 1024;

const service = string({
  description:
    'Who is asked: HOST or NAMESPACE/HOST of a service of the mesh, over mutual TLS; else, in plaintext, loopback (127.0.0.1, ::1, localhost) or, where MeshDefaults.outbound is AllowAny, any host.',
  check: (text) =>
    /^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\/)?([A-Za-z0-9]([-.A-Za-z0-9]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]{2,45})$/.test(
      text,
    )
      ? undefined
      : `${JSON.stringify(text)} is not HOST or NAMESPACE/HOST`,
});

const statusOnError = string({
  description: 'HTTP status where the provider cannot be asked, in quotes as in Istio. Without it 403.',
  check: (text) =>
    /^[45][0-9]{2}$/.test(text) ? undefined : `${JSON.stringify(text)} is not a status from "400" to "599"`,
});

const body = object({
  maxRequestBytes: required(
    integer({
      minimum: 1,
      maximum: MAX_CHECKED_BODY_BYTES,
      description: 'Of the body that the provider is told. More is 413, unless allowPartialMessage.',
    }),
  ),
  allowPartialMessage: defaulted(
    boolean('A longer body is told up to maxRequestBytes, with x-envoy-auth-partial-body: true.'),
    false,
  ),
  packAsBytes: defaulted(boolean('gRPC: as raw_body, in place of body, which is text.'), false),
});

const common = {
  service: required(service),
  port: required(port('Of the service.')),
  timeout: defaulted(
    istioDuration({ minimumMs: 1, maximumMs: MAX_TIMEOUT_MS, description: 'For the whole check.' }),
    DEFAULT_TIMEOUT_MS,
    `${DEFAULT_TIMEOUT_MS}ms`,
  ),
  failOpen: defaulted(
    boolean('What cannot be checked is let pass. False: it is refused, as statusOnError says.'),
    false,
  ),
  statusOnError: optional(statusOnError),
  includeRequestBodyInCheck: optional(body),
};

const headerName = (text: string) => (isToken(text) ? undefined : `${JSON.stringify(text)} is no header name`);

const headerPatterns = (description: string) =>
  list(
    string({
      description,
      check: (text) => headerName(text.endsWith('*') ? text.slice(0, -1) : text.replace(/^\*/, '')),
    }),
    { maxItems: MAX_HEADER_PATTERNS },
  );

/** What makes a message of a check, or is told by the sidecar itself: twice, two readers would read two. */
const MADE_WITH_EACH_CHECK: ReadonlySet<string> = new Set([
  ...['host', 'content-length', 'transfer-encoding', 'connection', 'keep-alive', 'proxy-connection', 'upgrade', 'te'],
  ...['trailer', 'expect', 'traceparent', 'x-envoy-auth-partial-body'],
]);

const additionalName = (text: string) =>
  MADE_WITH_EACH_CHECK.has(dashedName(text.toLowerCase()))
    ? `${JSON.stringify(text)} is made with each check, and cannot be set`
    : headerName(text);

const additionalHeaders = refined(
  map(
    string({ minLength: 0, check: (text) => (/^[\t\x20-\x7e]*$/.test(text) ? undefined : 'is not visible ASCII') }),
    'Headers set on each check, by name, in place of those of the request.',
  ),
  (headers, path, context) => {
    for (const name of Object.keys(headers)) {
      const complaint = additionalName(name);
      if (complaint === undefined) continue;
      context.fail([...path, name], 'invalid_value', complaint, 'key');
      return false;
    }
    return true;
  },
);

const grpc = object(common, 'By gRPC: envoy.service.auth.v3.Authorization/Check.');

const http = object(
  {
    ...common,
    pathPrefix: optional(
      string({
        description: 'Stands before the path of each request that is asked about.',
        check: (text) =>
          /^\/[-._~!$&'()*+,;=:@%/A-Za-z0-9]*$/.test(text) ? undefined : 'must begin with / and be a path',
      }),
    ),
    includeRequestHeadersInCheck: optional(
      headerPatterns(
        'Header of the request that the provider is told besides Host and Authorization: NAME, PREFIX* or *SUFFIX.',
      ),
    ),
    includeHeadersInCheck: optional(headerPatterns('Deprecated in Istio: the same, by exact names.')),
    includeAdditionalHeadersInCheck: optional(additionalHeaders),
    headersToUpstreamOnAllow: optional(
      headerPatterns('Header of the answer that the app gets; it takes the place of what the caller sent.'),
    ),
    headersToDownstreamOnAllow: optional(
      headerPatterns('Header of the answer that the caller gets with the response of the app.'),
    ),
    headersToDownstreamOnDeny: optional(
      headerPatterns('Header of the answer that a refused caller gets. Without this all are.'),
    ),
  },
  'By HTTP: the request without its body is sent to the provider; 200 allows it.',
);

const fields = object({
  name: required(string({ description: 'As AuthorizationPolicies of action CUSTOM name it; once in the mesh.' })),
  envoyExtAuthzGrpc: optional(grpc),
  envoyExtAuthzHttp: optional(http),
});

/** One of the two must be there: Istio has further kinds, for telemetry, which have no meaning here. */
const extensionProvider = refined(fields, ({ envoyExtAuthzGrpc, envoyExtAuthzHttp }, path, context) => {
  if ((envoyExtAuthzGrpc === undefined) !== (envoyExtAuthzHttp === undefined)) return true;
  context.fail(path, 'missing_field', 'expected one of envoyExtAuthzGrpc and envoyExtAuthzHttp');
  return false;
});

export const extensionProviders = refined(
  list(extensionProvider, { maxItems: MAX_PROVIDERS }),
  (providers, path, context) => {
    for (const [index, { name }] of providers.entries()) {
      if (providers.findIndex((other) => other.name === name) === index) continue;
      context.fail([...path, index, 'name'], 'invalid_value', `the provider ${name} is there twice`);
      return false;
    }
    return true;
  },
);

export type ExtensionProviderSpec = Infer<typeof extensionProvider>;
