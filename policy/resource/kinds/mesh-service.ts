import { isIP } from 'node:net';
import { parseAuthority } from '../../mesh/parse-authority.ts';
import { choice, defaulted, type Infer, list, object, optional, port, required, string } from '../../schema/schema.ts';
import type { ResourceKind } from '../kind.ts';
import { dnsSubdomain } from '../names.ts';
import { labels } from './workload-selector.ts';

const HOST_NAME = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

const endpoint = object({
  address: required(string({ check: addressComplaint, description: 'IP address or DNS name.' })),
  port: required(port('Port of the inbound listener of its sidecar.')),
  serviceAccount: required(
    dnsSubdomain('Service account its certificate must prove, in the namespace of the service.'),
  ),
  labels: defaulted(labels, {}),
});

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
        protocol: defaulted(choice(['http', 'grpc', 'tcp'], { description: 'What is spoken on it.' }), 'http'),
      }),
      { minItems: 1, maxItems: 256 },
    ),
  ),
  endpoints: defaulted(list(endpoint), []),
});

export type MeshServiceSpec = Infer<typeof meshServiceSpec>;

export const meshServiceKind: ResourceKind<MeshServiceSpec> = {
  kind: 'MeshService',
  plural: 'meshservices',
  apiVersions: ['lateral.dev/v1alpha1'],
  spec: meshServiceSpec,
  description: 'A service of the mesh outside Kubernetes: its hosts, and where it runs.',
  check({ namespace, spec }, _mesh, context) {
    for (const [index, host] of spec.hosts.entries()) {
      const named = namespaceOfClusterHost(parseAuthority(host)?.host ?? host);
      if (named === undefined || named === namespace) continue;
      const message = `the host ${host} names the namespace ${named}; this service is of ${namespace}`;
      context.fail(['spec', 'hosts', index], 'invalid_value', message);
    }
  },
};

/** NS of NAME.NS.svc and NAME.NS.svc.CLUSTER-DOMAIN; undefined for any other host. */
function namespaceOfClusterHost(host: string): string | undefined {
  const [, namespace, svc] = host.toLowerCase().split('.');
  return svc === 'svc' ? namespace : undefined;
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
