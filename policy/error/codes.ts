import { CERTIFICATE_CODES } from './certificate-codes.ts';
import { type CodeEntry, GRPC } from './code-entry.ts';
import { JOINING_CODES } from './joining-codes.ts';
import { PROVIDER_CODES } from './provider-codes.ts';
import { TOKEN_CODES } from './token-codes.ts';

export type { CodeEntry } from './code-entry.ts';

/**
 * The one catalogue of refusals. A code is stable: users alert and search on it. docs/errors.md is
 * generated from this table.
 *
 * `status` is the HTTP status, `grpcStatus` the gRPC code of the same answer, `title` the only text
 * a caller sees. `meaning` and `remedy` are for the operator.
 */
export const CODES = {
  malformed_request: {
    family: 'malformed',
    status: 400,
    grpcStatus: GRPC.internal,
    title: 'Malformed request',
    meaning: 'The request is not valid HTTP.',
    remedy: 'Look at the reason in the log: it names the rule that was broken.',
  },
  ambiguous_framing: {
    family: 'malformed',
    status: 400,
    grpcStatus: GRPC.internal,
    title: 'Malformed request',
    meaning:
      'Two programs could read the end of the message, or of one of its lines, in two places (Content-Length with Transfer-Encoding, odd lengths or chunk sizes, folded lines, bare CR or LF): request smuggling, or a broken sender.',
    remedy: 'The reason in the log names the rule that was broken. Find out who sends this: no common client does.',
  },
  ambiguous_path: {
    family: 'malformed',
    status: 400,
    grpcStatus: GRPC.invalidArgument,
    title: 'Ambiguous path',
    meaning:
      'The path has dot segments, an encoded slash, a backslash, `//`, `..;`, parameters of a segment (`/a;b`), a double or broken percent-encoding or invalid UTF-8: two programs could read two paths.',
    remedy: 'Send the path in its plain form, or set MeshDefaults.pathNormalization.',
  },
  header_block_too_large: {
    family: 'malformed',
    status: 431,
    grpcStatus: GRPC.resourceExhausted,
    title: 'Request header fields too large',
    meaning: 'The header block exceeds maxHeaderBytes or maxHeaderFields, or the trailer section maxTrailerBytes.',
    remedy: 'Send smaller headers (cookies are the usual cause).',
  },
  request_timeout: {
    family: 'malformed',
    status: 408,
    grpcStatus: GRPC.deadlineExceeded,
    title: 'Request timeout',
    meaning: 'The caller began a request and did not go on with it in time.',
    remedy: 'Look for a caller that hangs or a network that loses packets.',
  },
  no_client_certificate: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.unauthenticated,
    title: 'Client certificate required',
    meaning: 'The caller completed TLS without a certificate.',
    remedy: 'Put the caller behind a sidecar of its own.',
  },
  ...CERTIFICATE_CODES,
  tls_handshake_failed: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.unauthenticated,
    title: 'TLS handshake failed',
    meaning: 'The caller did not speak TLS 1.3, spoke plaintext, or broke the handshake off.',
    remedy: 'Put the caller behind a sidecar, or exclude the port.',
  },
  unrecognized_protocol: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.internal,
    title: 'Unrecognized protocol',
    meaning: 'On a PERMISSIVE port the caller spoke neither TLS nor HTTP, or nothing in time.',
    remedy: 'Declare the port `protocol: tcp` (or `auto`) if the app does not speak HTTP.',
  },
  tls_disabled: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.unavailable,
    title: 'No TLS here',
    meaning: 'A caller began TLS on a port of protocol `http` whose mutual TLS is DISABLE: it takes plaintext alone.',
    remedy:
      'A caller of the mesh has not heard yet that it is to use plaintext: compare its policy version with that of the control plane (`lateral proxies`). Going through PERMISSIVE first loses no request.',
  },
  not_redirected: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.unavailable,
    title: 'Not redirected',
    meaning:
      'With interception: redirect, the caller connected to the inbound listener itself, or to another port of the sidecar, or to an address that is not of this pod: no port of the app was meant.',
    remedy:
      'Call the port of the app, at an address of its pod. If it was called, the rules of `lateral init` are missing in this network namespace, or the kernel does not track connections.',
  },
  unknown_destination: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.unavailable,
    title: 'Unknown destination',
    meaning:
      'The app connected, not by HTTP, to an address that is of no service of the mesh (and MeshDefaults.outbound is RegistryOnly).',
    remedy:
      'Declare a MeshService with that address among its hosts, exclude the port or the network from the redirection, or set MeshDefaults.outbound.',
  },
  late_protocol: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.internal,
    title: 'Protocol not detected in time',
    meaning:
      'On a port of `protocol: auto` the caller said nothing in time, was served as TCP, and then began HTTP or TLS: what was decided was not about that.',
    remedy: 'Declare the port `protocol: http` (or `grpc`, `tcp`), or send the request when the connection is open.',
  },
  tcp_not_validated: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.permissionDenied,
    title: 'Not HTTP',
    meaning:
      'An APIValidationPolicy in Enforce mode binds the workload, and the connection is not HTTP: nothing of it could be validated.',
    remedy: 'Speak HTTP on this port, or leave the workload out of the selector of the policy.',
  },
  idle_timeout: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.deadlineExceeded,
    title: 'Connection idle',
    meaning: 'Neither side of a TCP connection said anything for the limit.',
    remedy: 'The log names the limit. Use keep-alive messages of the protocol.',
  },
  http2_protocol_error: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.internal,
    title: 'HTTP/2 protocol error',
    meaning:
      'The caller broke a rule of HTTP/2 (RFC 9113): its stream was reset, or its connection ended with GOAWAY; no HTTP status was sent.',
    remedy: 'The reason names the rule. Look at the HTTP/2 library of the caller.',
  },
  http2_flood: {
    family: 'connection',
    status: 0,
    grpcStatus: GRPC.resourceExhausted,
    title: 'HTTP/2 flood',
    meaning:
      'The caller had us do more work that moves no request on (resets, PING, SETTINGS, empty frames and the like) than its allowance; its connection ended with GOAWAY ENHANCE_YOUR_CALM.',
    remedy: 'Find out who calls: a library that misbehaves, or an attack. Other connections go on.',
  },
  authorization_denied: {
    family: 'refused',
    status: 403,
    grpcStatus: GRPC.permissionDenied,
    title: 'Forbidden',
    meaning: 'A rule of a DENY policy matched the request.',
    remedy: 'The log names policy and rule.',
  },
  authorization_not_allowed: {
    family: 'refused',
    status: 403,
    grpcStatus: GRPC.permissionDenied,
    title: 'Forbidden',
    meaning: 'ALLOW policies bind this workload and none of their rules matched.',
    remedy: 'The log names the nearest rule and the clause of it that failed; `lateral authz` reproduces it.',
  },
  authorization_condition_failed: {
    family: 'refused',
    status: 403,
    grpcStatus: GRPC.permissionDenied,
    title: 'Forbidden',
    meaning:
      'The condition of a rule could not be judged for this request: a claim or header that it names is not there, say.',
    remedy: 'The log names the rule and the error. Ask before: `has(jwt.tenant) && jwt.tenant == …`.',
  },
  authorization_default_deny: {
    family: 'refused',
    status: 403,
    grpcStatus: GRPC.permissionDenied,
    title: 'Forbidden',
    meaning: 'No ALLOW policy binds this workload and MeshDefaults.authorization.default is Deny.',
    remedy: 'Write an AuthorizationPolicy that allows the call.',
  },
  ...PROVIDER_CODES,
  ...TOKEN_CODES,
  undocumented_path: {
    family: 'refused',
    status: 404,
    grpcStatus: GRPC.unimplemented,
    title: 'Not found',
    meaning: 'The path is in no API description bound to this workload.',
    remedy: 'Document the endpoint, or set request.undocumented to Report.',
  },
  undocumented_method: {
    family: 'refused',
    status: 405,
    grpcStatus: GRPC.unimplemented,
    title: 'Method not allowed',
    meaning: 'The path is documented, this method of it is not.',
    remedy: 'Document the operation; the Allow header lists those there are.',
  },
  invalid_parameter: {
    family: 'malformed',
    status: 400,
    grpcStatus: GRPC.invalidArgument,
    title: 'Invalid parameter',
    meaning: 'A path, query, header or cookie parameter is missing or does not satisfy its schema.',
    remedy: 'The log names parameter, schema keyword and limit.',
  },
  unknown_parameter: {
    family: 'malformed',
    status: 400,
    grpcStatus: GRPC.invalidArgument,
    title: 'Unknown parameter',
    meaning: 'The query has a parameter that the operation does not declare.',
    remedy: 'Document it, or set request.unknownParameters.',
  },
  unsupported_media_type: {
    family: 'malformed',
    status: 415,
    grpcStatus: GRPC.invalidArgument,
    title: 'Unsupported media type',
    meaning: 'The body is of a content type (or content coding) that the operation does not declare.',
    remedy: 'Send a declared type; the log lists them.',
  },
  missing_body: {
    family: 'malformed',
    status: 400,
    grpcStatus: GRPC.invalidArgument,
    title: 'Missing body',
    meaning: 'The operation requires a body and none came.',
    remedy: 'Send the body.',
  },
  malformed_body: {
    family: 'malformed',
    status: 400,
    grpcStatus: GRPC.invalidArgument,
    title: 'Malformed body',
    meaning:
      'The body cannot be read as what its content type says (or has a duplicate key, is nested too deep, is not UTF-8).',
    remedy: 'The log names the position.',
  },
  invalid_body: {
    family: 'malformed',
    status: 400,
    grpcStatus: GRPC.invalidArgument,
    title: 'Invalid body',
    meaning: 'The body does not satisfy the schema of the operation.',
    remedy: 'The log names JSON pointer and schema keyword.',
  },
  unknown_property: {
    family: 'malformed',
    status: 400,
    grpcStatus: GRPC.invalidArgument,
    title: 'Invalid body',
    meaning: 'The body has a property that no branch of its schema declares, and request.unknownProperties is Deny.',
    remedy:
      'The log names it by JSON pointer. Leave it out, or declare it: an app that takes what it does not know lets callers set what they should not (mass assignment).',
  },
  body_too_large: {
    family: 'malformed',
    status: 413,
    grpcStatus: GRPC.resourceExhausted,
    title: 'Content too large',
    meaning: 'The body exceeds limits.bodyBytes of the validation policy.',
    remedy: 'Send less, or raise the limit for the operation.',
  },
  retired_operation: {
    family: 'malformed',
    status: 410,
    grpcStatus: GRPC.unimplemented,
    title: 'Gone',
    meaning: 'The operation is of an APISchema whose lifecycle is Retired: nobody is to call it any more.',
    remedy: 'Call the version that took its place; the access log names who still calls this one.',
  },
  invalid_response: {
    family: 'fault',
    status: 502,
    grpcStatus: GRPC.internal,
    title: 'Bad gateway',
    meaning:
      'The response of the app is not what its API description says (an undeclared status, a header, the body), and the policy enforces it: nothing of it reached the caller.',
    remedy:
      'The log names what is wrong, by JSON pointer and keyword. Mend the app or its description; set `response` of the policy to Audit meanwhile.',
  },
  schema_unavailable: {
    family: 'fault',
    status: 500,
    grpcStatus: GRPC.internal,
    title: 'Internal error',
    meaning: 'The operation has a schema that could not be compiled; what cannot be checked is refused.',
    remedy: '`lateral check` names the schema and its fault.',
  },
  unknown_host: {
    family: 'unavailable',
    status: 502,
    grpcStatus: GRPC.unavailable,
    title: 'Unknown host',
    meaning: 'No service of the mesh has this host (and MeshDefaults.outbound is RegistryOnly).',
    remedy: 'Declare a MeshService, or correct the Host header.',
  },
  no_endpoint: {
    family: 'unavailable',
    status: 503,
    grpcStatus: GRPC.unavailable,
    title: 'Service unavailable',
    meaning: 'The service is known and has no endpoint.',
    remedy: 'Look at the endpoints of the MeshService.',
  },
  upstream_unavailable: {
    family: 'unavailable',
    status: 503,
    grpcStatus: GRPC.unavailable,
    title: 'Service unavailable',
    meaning: 'The app or the peer could not be reached, or ended the connection before its answer.',
    remedy: 'The log names address and system error.',
  },
  upstream_identity_mismatch: {
    family: 'unavailable',
    status: 503,
    grpcStatus: GRPC.unavailable,
    title: 'Service unavailable',
    meaning:
      'The endpoint proved another identity than the one discovery declares for it; no byte of the request was sent.',
    remedy: 'Correct serviceAccount (or spiffeId) of the endpoint, or find out who answers there.',
  },
  upstream_certificate_refused: {
    family: 'unavailable',
    status: 503,
    grpcStatus: GRPC.unavailable,
    title: 'Service unavailable',
    meaning:
      'The certificate of the endpoint was not accepted, so that nobody proved who answers there; no byte of the request was sent.',
    remedy: "The log names the code of the certificate's fault, and who, when and why; look it up in this table.",
  },
  upstream_timeout: {
    family: 'unavailable',
    status: 504,
    grpcStatus: GRPC.deadlineExceeded,
    title: 'Gateway timeout',
    meaning: 'The app or the peer did not answer, or did not go on with its answer, in time.',
    remedy: 'The log names the limit.',
  },
  upstream_malformed: {
    family: 'unavailable',
    status: 502,
    grpcStatus: GRPC.unavailable,
    title: 'Bad gateway',
    meaning: 'The app or the peer answered with something that is not HTTP.',
    remedy: 'Check port and protocol of the app.',
  },
  overloaded: {
    family: 'unavailable',
    status: 503,
    grpcStatus: GRPC.unavailable,
    title: 'Service unavailable',
    meaning:
      'A bound of the sidecar is reached (requests in flight, memory for buffered bodies), or its memory or processor time is short.',
    remedy: 'The log names the bound.',
  },
  draining: {
    family: 'unavailable',
    status: 503,
    grpcStatus: GRPC.unavailable,
    title: 'Service unavailable',
    meaning: 'The sidecar was told to stop and the request had not ended when the drain was over.',
    remedy: 'Nothing, if it is rare; else the app takes longer than the drain.',
  },
  no_policy: {
    family: 'unavailable',
    status: 503,
    grpcStatus: GRPC.unavailable,
    title: 'Service unavailable',
    meaning: 'No policy is in force yet; without one nothing is let through.',
    remedy: 'Look at the connection to the control plane.',
  },
  loop_detected: {
    family: 'fault',
    status: 508,
    grpcStatus: GRPC.internal,
    title: 'Loop detected',
    meaning: 'The request would be sent to the sidecar itself.',
    remedy: 'Correct the endpoint: it names a port of this sidecar.',
  },
  client_gone: {
    family: 'connection',
    status: 0,
    grpcStatus: 1,
    title: 'Client closed the request',
    meaning: 'The caller ended the connection before the answer was complete.',
    remedy: 'Look for timeouts at the caller.',
  },
  internal_error: {
    family: 'fault',
    status: 500,
    grpcStatus: GRPC.internal,
    title: 'Internal error',
    meaning: 'The sidecar failed while it handled the request; it was refused.',
    remedy: 'The log has the stack. Please report it.',
  },
  ...JOINING_CODES,
} as const satisfies { readonly [code: string]: CodeEntry };

export type Code = keyof typeof CODES;

/** Code of a decision that lets the request through. */
export const ALLOWED = 'allowed';

export function codeEntry(code: Code): CodeEntry {
  return CODES[code];
}
