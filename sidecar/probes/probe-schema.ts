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

/** Probes of one pod: five of each container, and no pod has this many containers. */
const MAX_PROBES = 256;
const MAX_HEADERS = 64;
/** The kubelet's own limit of a probe's timeout is higher; nobody waits that long for a sign of life. */
const MAX_TIMEOUT_SECONDS = 3_600;

const headers = list(object({ name: required(string()), value: required(string({ minLength: 0 })) }), {
  maxItems: MAX_HEADERS,
});

const http = object({
  port: required(port()),
  path: defaulted(string({ minLength: 0, description: 'With its query, as the pod states it.' }), ''),
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
    timeoutSeconds: defaulted(integer({ minimum: 1, maximum: MAX_TIMEOUT_SECONDS, description: 'Of a probe.' }), 1),
    http: optional(http),
    tcp: optional(object({ port: required(port()) })),
    grpc: optional(object({ port: required(port()), service: defaulted(string({ minLength: 0 }), '') })),
  }),
  (value, path, context) => {
    if ([value.http, value.tcp, value.grpc].filter((way) => way !== undefined).length === 1) return true;
    context.fail(path, 'invalid_value', 'exactly one of http, tcp and grpc is needed');
    return false;
  },
);

/** The app's own probes, which the metrics port asks in the kubelet's place: `/app-health/CONTAINER/KIND`. */
export const probesSchema = list(probe, { maxItems: MAX_PROBES });

export type Probe = Infer<typeof probe>;
export type HttpProbe = Infer<typeof http>;
