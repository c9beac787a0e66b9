import {
  choice,
  defaulted,
  type Infer,
  integer,
  list,
  object,
  optional,
  port,
  refined,
  required,
  string,
} from '#policy/schema/schema.ts';

/** Above what fits into an environment variable, which is where an injected sidecar has its configuration. */
const MAX_PROBES = 2_000;
const MAX_HEADERS = 2_000;
const MAX_TEXT_LENGTH = 131_072;
/** The injector cuts what is longer: nobody waits that long for a sign of life. */
const MAX_TIMEOUT_SECONDS = 3_600;

const text = (description: string, minLength = 0) => string({ minLength, maxLength: MAX_TEXT_LENGTH, description });

const headers = list(
  object({ name: required(text('As the pod states it.', 1)), value: required(text('As the pod states it.')) }),
  {
    maxItems: MAX_HEADERS,
  },
);

const http = object({
  port: required(port()),
  path: defaulted(text('With its query, as the pod states it.'), ''),
  scheme: defaulted(choice(['http', 'https'], { description: 'https: whatever the certificate.' }), 'http' as const),
  headers: defaulted(headers, []),
});

const probe = refined(
  object({
    container: required(string({ maxLength: 253 })),
    kind: required(
      choice(['readiness', 'liveness', 'startup', 'postStart', 'preStop'], {
        description: 'A probe of the container, or a lifecycle hook, for which every answer will do.',
      }),
    ),
    key: optional(text('Of a hook: the query `key` of its path, so that only the kubelet can set it off.', 1)),
    timeoutSeconds: defaulted(integer({ minimum: 1, maximum: MAX_TIMEOUT_SECONDS, description: 'Of a probe.' }), 1),
    http: optional(http),
    tcp: optional(object({ port: required(port()) })),
    grpc: optional(object({ port: required(port()), service: defaulted(text('Of grpc.health.v1.'), '') })),
  }),
  (value, path, context) => {
    const isHook = value.kind === 'postStart' || value.kind === 'preStop';
    if (isHook !== (value.key !== undefined)) {
      context.fail(path, 'invalid_value', isHook ? 'a lifecycle hook needs a key' : 'key is of lifecycle hooks only');
      return false;
    }
    if ([value.http, value.tcp, value.grpc].filter((way) => way !== undefined).length === 1) return true;
    context.fail(path, 'invalid_value', 'exactly one of http, tcp and grpc is needed');
    return false;
  },
);

/** The app's own probes, which the metrics port asks in the kubelet's place: `/app-health/CONTAINER/KIND`. */
export const probesSchema = list(probe, { maxItems: MAX_PROBES });

export type Probe = Infer<typeof probe>;
export type HttpProbe = Infer<typeof http>;
