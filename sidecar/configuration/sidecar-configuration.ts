import { isIP } from 'node:net';
import { trustDomainComplaint } from '#policy/identity/spiffe-id.ts';
import {
  choice,
  defaulted,
  described,
  type Infer,
  integer,
  list,
  map,
  number,
  object,
  optional,
  type Path,
  port,
  type ReadContext,
  refined,
  required,
  string,
} from '#policy/schema/schema.ts';
import { probesSchema } from '../probes/probe-schema.ts';

/** Most worker threads of one sidecar. */
export const MAX_CONCURRENCY = 64;

const trustDomain = string({
  maxLength: 255,
  check: (value) => {
    const complaint = trustDomainComplaint(value);
    return complaint === undefined ? undefined : `${JSON.stringify(value)} ${complaint}`;
  },
});

const dnsLabel = string({
  maxLength: 253,
  check: (value) =>
    /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(value)
      ? undefined
      : `${JSON.stringify(value)} is not a lower-case DNS name (RFC 1123)`,
});

/** `HOST:PORT` or `[IPV6]:PORT`. */
const hostPort = string({
  check: (value) =>
    splitHostPort(value) === undefined ? `${JSON.stringify(value)} is not HOST:PORT, e.g. 127.0.0.1:8080` : undefined,
});

const address = described(
  string({ maxLength: 253 }),
  'Address to bind; default 127.0.0.1, loopback only; with interception: redirect, inbound takes all.',
);
const file = string({ description: 'A path, relative to this file.' });

/** Either the path of a file or, where a pod has none, its text. */
const bundle = string({
  maxLength: 262_144,
  description: 'A path, relative to this file; or the PEM text itself, beginning with -----BEGIN.',
});

const protocolsByPort = refined(
  map(
    choice(['http', 'grpc', 'tcp']),
    'With interception: redirect, what is spoken on ports of the app, e.g. "8080": http.',
  ),
  (ports, path, context) => {
    const wrong = Object.keys(ports).filter((key) => !/^[1-9][0-9]{0,4}$/.test(key) || Number(key) > 65_535);
    for (const key of wrong) context.fail([...path, key], 'invalid_value', `${key} is not a port (1 to 65535)`, 'key');
    return wrong.length === 0;
  },
);

const ipAddress = string({
  check: (value) => (isIP(value) === 0 ? `${JSON.stringify(value)} is not an IP address` : undefined),
});

const inboundListener = object({
  port: required(
    port('Where other workloads connect, by mutual TLS; with interception: redirect, where they are led.'),
  ),
  address: optional(address),
  app: optional(
    described(
      hostPort,
      'The app behind this listener. Its port is what policies call the port. With interception: redirect the port is the one that the caller meant, and without `app` so is the address.',
    ),
  ),
  ports: defaulted(protocolsByPort, {}),
  protocol: defaulted(
    choice(['auto', 'http', 'grpc', 'tcp'], {
      description:
        'What the app speaks. tcp: bytes are passed on, under the rules that need no HTTP. auto: HTTP where the connection begins so, else as tcp.',
    }),
    'auto' as const,
  ),
});

const httpUrl = string({
  check: (value) =>
    /^https?:\/\/[^/\s]+$/.test(value)
      ? undefined
      : `${JSON.stringify(value)} is not http://HOST:PORT or https://HOST:PORT`,
});

/** As many as a control plane has. */
const MAX_FEDERATED_DOMAINS = 64;

const federation = list(
  object({
    trustDomain: required(described(trustDomain, 'Another trust domain, whose identities are believed.')),
    bundle: required(described(file, 'Its roots: a SPIFFE bundle (JWK set) or PEM; read again when it changes.')),
  }),
  { maxItems: MAX_FEDERATED_DOMAINS },
);

/** Schema of SidecarConfig: the one place of its fields, defaults and meaning. */
export const sidecarConfigurationSchema = refined(
  object({
    workload: required(
      object({
        name: required(described(dnsLabel, 'Name of this instance, e.g. of the pod.')),
        namespace: required(dnsLabel),
        serviceAccount: required(dnsLabel),
        labels: defaulted(map(string({ minLength: 0 }), 'What selectors of policies match.'), {}),
        address: optional(
          described(
            ipAddress,
            'Its own address, e.g. of the pod: the app is probed there (default 127.0.0.1), and calls to it pass its own inbound.',
          ),
        ),
      }),
    ),
    trustDomain: defaulted(trustDomain, 'cluster.local'),
    rootNamespace: defaulted(dnsLabel, 'lateral-system'),
    stateDirectory: optional(
      described(
        file,
        'Last good snapshot, key and chain, and the keys of issuers of tokens: a restart needs neither control plane nor issuers. A directory of its own (0700, files 0600), best on a volume in memory.',
      ),
    ),
    controlPlane: optional(
      object({
        address: required(hostPort),
        trustBundle: required(bundle),
        tokenFile: optional(described(file, 'Join token; not needed while stateDirectory holds a valid certificate.')),
      }),
    ),
    standalone: optional(
      object({
        policies: required(described(file, 'A policy file or folder, read again when it changes.')),
        certificate: required(file),
        privateKey: required(file),
        trustBundle: required(file),
        federation: optional(federation),
      }),
    ),
    inbound: defaulted(list(inboundListener, { maxItems: 64 }), []),
    outbound: optional(
      object({ port: required(port('Where the app sends its calls, in plaintext.')), address: optional(address) }),
    ),
    interception: defaulted(
      choice(['none', 'redirect'], {
        description:
          'redirect: connections are led here by the rules of `lateral init`, and the kernel says where they were going (Linux).',
      }),
      'none' as const,
    ),
    concurrency: defaulted(
      integer({
        minimum: 1,
        maximum: MAX_CONCURRENCY,
        description:
          'Worker threads that share the traffic listeners (SO_REUSEPORT; Linux). 1: no thread besides the main one.',
      }),
      1,
    ),
    admin: defaulted(object({ port: defaulted(port(), 15000), address: optional(address) }), {
      port: 15000,
      address: undefined,
    }),
    metrics: defaulted(object({ port: defaulted(port(), 15020), address: optional(address) }), {
      port: 15020,
      address: undefined,
    }),
    probes: defaulted(described(probesSchema, "The app's own probes, asked in the kubelet's place."), []),
    telemetry: defaulted(
      object({
        otlp: optional(described(httpUrl, 'Collector that takes OTLP over gRPC; absent: no export.')),
        sampleRatio: defaulted(
          number({ minimum: 0, maximum: 1, description: 'Share of the traces that begin here which are recorded.' }),
          1,
        ),
        accessLog: defaulted(described(string(), '`stdout`, `off`, or a file.'), 'stdout'),
      }),
      { otlp: undefined, sampleRatio: 1, accessLog: 'stdout' },
    ),
  }),
  (value, path, context) => {
    if ((value.controlPlane === undefined) === (value.standalone === undefined)) {
      context.fail(path, 'invalid_value', 'exactly one of controlPlane and standalone is needed');
      return false;
    }
    if (value.inbound.length === 0 && value.outbound === undefined) {
      context.fail(path, 'invalid_value', 'neither inbound nor outbound: the sidecar would do nothing');
      return false;
    }
    if (!isOfOthers(value.standalone?.federation ?? [], value.trustDomain, path, context)) return false;
    return value.interception === 'redirect' || hasApps(value.inbound, path, context);
  },
);

/** One domain's roots must not vouch for the own, and each domain has one bundle. */
function isOfOthers(domains: Infer<typeof federation>, own: string, path: Path, context: ReadContext): boolean {
  const names = domains.map(({ trustDomain: name }) => name);
  const wrong = names.flatMap((name, index) => {
    if (name === own)
      return [{ index, message: `${name} is the own trust domain; its roots are standalone.trustBundle` }];
    return names.indexOf(name) === index ? [] : [{ index, message: `${name} is there twice` }];
  });
  for (const { index, message } of wrong) {
    context.fail([...path, 'standalone', 'federation', index, 'trustDomain'], 'invalid_value', message);
  }
  return wrong.length === 0;
}

/** Without a redirection nothing else says which app is meant, or which of its ports. */
function hasApps(inbound: readonly Infer<typeof inboundListener>[], path: Path, context: ReadContext): boolean {
  let isGood = true;
  for (const [index, { app, ports }] of inbound.entries()) {
    const at = [...path, 'inbound', index];
    if (app === undefined) context.fail(at, 'missing_field', 'missing field app (needed with interception: none)');
    const hasPorts = Object.keys(ports).length > 0;
    if (hasPorts)
      context.fail([...at, 'ports'], 'invalid_value', 'ports needs interception: redirect; use protocol', 'key');
    isGood &&= app !== undefined && !hasPorts;
  }
  return isGood;
}

export type SidecarConfiguration = Infer<typeof sidecarConfigurationSchema>;

/** Splits `HOST:PORT`; undefined when it is neither that nor `[IPV6]:PORT`. */
export function splitHostPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s/]+)):([0-9]{1,5})$/.exec(text);
  const number = Number(match?.[3]);
  if (match === null || number < 1 || number > 65_535) return undefined;
  return { host: match[1] ?? match[2] ?? '', port: number };
}
