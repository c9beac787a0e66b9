import { isIP } from 'node:net';
import { MAX_SPIFFE_ID_BYTES, parseSpiffeId } from '../../identity/spiffe-id.ts';
import { parseAuthority } from '../../mesh/parse-authority.ts';
import {
  boolean,
  choice,
  defaulted,
  type Infer,
  list,
  map,
  object,
  optional,
  type Path,
  port,
  type ReadContext,
  refined,
  required,
  string,
} from '../../schema/schema.ts';
import type { Mesh } from '../../workload-policy.ts';
import type { ResourceKind } from '../kind.ts';
import { dnsLabel, dnsSubdomain } from '../names.ts';
import { labels } from './workload-selector.ts';

const HOST_NAME = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

const PORT_NUMBER = /^[1-9][0-9]{0,4}$/;

/** Endpoints of one service. A resource of Kubernetes holds 1 MiB, which is some 5,000 of them with their labels. */
export const MAX_ENDPOINTS = 10_000;

/** Ports that one endpoint can have. */
const MAX_PLAINTEXT_PORTS = 256;

const portList = list(port('Port at this endpoint.'), { maxItems: MAX_PLAINTEXT_PORTS });
const plaintextPorts = {
  ...portList,
  json: {
    ...portList.json,
    description:
      'Ports at this endpoint where its sidecar takes plaintext alone. Made of PeerAuthentications that are DISABLE, and never written.',
  },
};

const endpoint = refined(
  object({
    address: required(string({ check: addressComplaint, description: 'IP address or DNS name.' })),
    port: required(
      port(
        'Port of the inbound listener of its sidecar; of the app where connections are redirected, or plaintext is true.',
      ),
    ),
    ports: optional(
      refined(
        map(
          port('Port at this endpoint.'),
          'By port of the service: where that is another than `port` at this endpoint.',
        ),
        hasPortNumbers,
      ),
    ),
    appPort: optional(
      port('Port of the app behind `port`, by which portLevelMtls of PeerAuthentications is found. Default: `port`.'),
    ),
    appPorts: optional(
      refined(
        map(port('Port of the app.'), 'By port of the service: where that is another than the port at this endpoint.'),
        hasPortNumbers,
      ),
    ),
    plaintextPorts: optional(plaintextPorts),
    serviceAccount: optional(
      dnsSubdomain(
        'Service account its certificate must prove, in the namespace of the service. Required unless spiffeId is given or plaintext is true.',
      ),
    ),
    spiffeId: optional(
      string({
        maxLength: MAX_SPIFFE_ID_BYTES,
        check: spiffeIdComplaint,
        description:
          'For an endpoint of another trust domain, which the mesh federates with: the identity its certificate must prove, in full, in place of serviceAccount.',
      }),
    ),
    plaintext: defaulted(boolean('Outside of the mesh: it is reached without TLS.'), false),
    hostname: optional(dnsLabel('HOSTNAME.HOST, for each host of the service, is this endpoint alone.')),
    labels: defaulted(labels, {}),
  }),
  isReachedOneWay,
);

const meshServiceSpec = object({
  hosts: required(
    list(string({ maxLength: 260, check: hostComplaint, description: 'Host, or HOST:PORT.' }), {
      minItems: 1,
      maxItems: 256,
    }),
  ),
  ports: optional(
    list(
      object({
        port: required(port('Port of the authority; 80 where that has none.')),
        name: optional(string({ maxLength: 63 })),
        protocol: defaulted(
          choice(['http', 'grpc', 'tcp', 'auto'], {
            description: 'What is spoken on it. auto: what its connections turn out to speak.',
          }),
          'http',
        ),
      }),
      { minItems: 1, maxItems: 256 },
    ),
  ),
  endpoints: defaulted(list(endpoint, { maxItems: MAX_ENDPOINTS }), []),
  selector: optional({
    ...labels,
    json: {
      ...labels.json,
      description:
        'Labels of the workloads of the service, which policies bind that target it. Absent: those of the service account and with the labels of one of its endpoints.',
    },
  }),
});

export type MeshServiceSpec = Infer<typeof meshServiceSpec>;

export const meshServiceKind: ResourceKind<MeshServiceSpec> = {
  kind: 'MeshService',
  plural: 'meshservices',
  apiVersions: ['lateral.dev/v1alpha1'],
  spec: meshServiceSpec,
  description:
    'A service of the mesh: its hosts, and where it runs. In a cluster Kubernetes Services stand in its place.',
  check({ namespace, spec }, mesh, context) {
    for (const [index, host] of spec.hosts.entries()) {
      const named = namespacesOfClusterHost(parseAuthority(host)?.host ?? host).find((one) => one !== namespace);
      if (named === undefined) continue;
      const message = `the host ${host} names the namespace ${named}; this service is of ${namespace}`;
      context.fail(['spec', 'hosts', index], 'foreign_host', message);
    }
    checkEndpointPorts(spec, context);
    checkForeignIdentities(spec, mesh, context);
  },
};

/** In the own domain a service is of the service accounts of its namespace, and of no others. */
function checkForeignIdentities({ endpoints }: MeshServiceSpec, { trustDomain }: Mesh, context: ReadContext): void {
  for (const [index, { spiffeId }] of endpoints.entries()) {
    if (spiffeId === undefined || !spiffeId.startsWith(`spiffe://${trustDomain}/`)) continue;
    const message = `${spiffeId} is of the mesh's own trust domain; use serviceAccount`;
    context.fail(['spec', 'endpoints', index, 'spiffeId'], 'invalid_value', message);
  }
}

/** Reports what is made of other resources, where people wrote it. */
export function refuseMadeFields({ endpoints }: MeshServiceSpec, context: ReadContext): void {
  for (const [index, { plaintextPorts }] of endpoints.entries()) {
    if (plaintextPorts === undefined) continue;
    const message = 'plaintextPorts is made of PeerAuthentications: write one of mode DISABLE for the workload';
    context.fail(['spec', 'endpoints', index, 'plaintextPorts'], 'invalid_value', message, 'key');
  }
}

/** An endpoint's `ports` and `appPorts` are by ports that the service names. */
function checkEndpointPorts({ ports = [], endpoints }: MeshServiceSpec, context: ReadContext): void {
  const known = new Set(ports.map(({ port }) => String(port)));
  for (const [index, { ports: own = {}, appPorts = {} }] of endpoints.entries()) {
    for (const [field, byPort] of Object.entries({ ports: own, appPorts })) {
      for (const key of Object.keys(byPort)) {
        if (known.has(key)) continue;
        const message = `the service has no port ${key}; spec.ports: ${[...known].join(', ') || 'none'}`;
        context.fail(['spec', 'endpoints', index, field, key], 'invalid_value', message, 'key');
      }
    }
  }
}

function hasPortNumbers(ports: { readonly [key: string]: number }, path: Path, context: ReadContext): boolean {
  const wrong = Object.keys(ports).filter((key) => !PORT_NUMBER.test(key) || Number(key) > 65_535);
  for (const key of wrong) context.fail([...path, key], 'invalid_value', `${key} is not a port (1 to 65535)`, 'key');
  return wrong.length === 0;
}

/** By mutual TLS with a known identity, or in plaintext, and it is said which. */
function isReachedOneWay(
  endpoint: {
    readonly serviceAccount: string | undefined;
    readonly spiffeId: string | undefined;
    readonly plaintext: boolean;
  },
  path: Path,
  context: ReadContext,
): boolean {
  const { serviceAccount, spiffeId, plaintext } = endpoint;
  const given = serviceAccount !== undefined ? 'serviceAccount' : spiffeId !== undefined ? 'spiffeId' : undefined;
  if (given === undefined) {
    if (plaintext) return true;
    const message = 'missing field serviceAccount (or plaintext: true, for an endpoint outside of the mesh)';
    context.fail(path, 'missing_field', message);
    return false;
  }
  if (serviceAccount !== undefined && spiffeId !== undefined) {
    const message = 'spiffeId cannot be set together with serviceAccount; an endpoint has one identity';
    context.fail([...path, 'spiffeId'], 'invalid_value', message, 'key');
    return false;
  }
  if (!plaintext) return true;
  const message = `${given} cannot be set together with plaintext: true; nothing would prove it`;
  context.fail([...path, given], 'invalid_value', message, 'key');
  return false;
}

function spiffeIdComplaint(value: string): string | undefined {
  const result = parseSpiffeId(value);
  return result.kind === 'valid' ? undefined : `${value}: ${result.reason}`;
}

/**
 * NS of NAME.NS.svc, HOSTNAME.NAME.NS.svc (a pod of a StatefulSet), and both with the cluster's domain behind. More than one where
 * labels are called svc: which is meant depends on that domain.
 */
function namespacesOfClusterHost(host: string): readonly string[] {
  const labels = host.toLowerCase().split('.');
  return labels.filter((_, index) => index > 0 && labels[index + 1] === 'svc');
}

function hostComplaint(value: string): string | undefined {
  const authority = parseAuthority(value);
  if (authority === undefined) return `expected a host or HOST:PORT, got ${value}`;
  const { host } = authority;
  if (isIP(host) !== 0 || (host.length <= 253 && HOST_NAME.test(host))) return undefined;
  return host.includes('*') ? 'wildcard hosts are not supported' : `${host} is neither a host name nor an IP address`;
}

function addressComplaint(value: string): string | undefined {
  if (isIP(value) !== 0 || (value.length <= 253 && HOST_NAME.test(value))) return undefined;
  return `${value} is neither an IP address nor a DNS name`;
}
