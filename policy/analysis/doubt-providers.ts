import { CHECK_PATH, compileProviders, type Provider } from '../authorization/provider.ts';
import { appPort } from '../mesh/compiled-service.ts';
import { parseAuthority } from '../mesh/parse-authority.ts';
import type { Problem } from '../problem.ts';
import { isBareName } from '../resource/check-resource-set.ts';
import type { Resource } from '../resource/kind.ts';
import { isForSidecars } from '../resource/kinds/attachment.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { AuthorizationRule } from '../resource/kinds/authorization-rule.ts';
import type { MeshServiceSpec } from '../resource/kinds/mesh-service.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import type { Mesh } from '../workload-policy.ts';
import { doubt } from './analysis-code.ts';
import { boundWorkloads, type KnownWorkloads } from './known-workloads.ts';

type Policy = Resource<AuthorizationPolicySpec>;
type Service = Resource<MeshServiceSpec>;

const PROVIDER_NAME = ['spec', 'provider', 'name'];

/** A CUSTOM policy whose provider cannot be asked as it is meant: about its own checks, about TCP, or on a port of TCP. */
export function providerDoubts(
  sourced: SourcedResource,
  policy: Policy,
  all: readonly SourcedResource[],
  workloads: KnownWorkloads,
  mesh: Mesh,
): readonly Problem[] {
  const { action, rules = [] } = policy.spec;
  if (action !== 'CUSTOM' || !isForSidecars(policy) || rules.length === 0) return [];
  const specs = all.flatMap(({ any }) =>
    any.type === 'MeshDefaults' ? (any.resource.spec.extensionProviders ?? []) : [],
  );
  const provider = compileProviders(specs).get(policy.spec.provider?.name ?? '');
  if (provider === undefined) return [];
  const service = serviceOf(provider, policy, all, mesh);
  const isOnTcp = service?.spec.ports?.some(({ port, protocol }) => port === provider.port && protocol === 'tcp');
  const problems: Problem[] = [];
  if (isOnTcp === true) {
    const message = `port ${provider.port} of ${nameOf(service)} is tcp, and provider ${provider.name} is asked there by ${provider.http === undefined ? 'gRPC' : 'HTTP'}: declare what it speaks`;
    problems.push(doubt(sourced, PROVIDER_NAME, 'provider_on_tcp_port', message));
  }
  if (service !== undefined && asksItself(policy, provider, service, workloads, mesh)) {
    const message = `binds ${nameOf(service)}, which is provider ${provider.name} itself: each check would have it asked about that check, and none would end; give the policy a selector without it, or rules that leave the check out`;
    problems.push(doubt(sourced, PROVIDER_NAME, 'provider_asks_itself', message));
  }
  const port = provider.http === undefined ? undefined : tcpPortAsked(policy, rules, workloads, mesh);
  if (port !== undefined) {
    const message = `port ${port} of the workload is tcp, of which provider ${provider.name} cannot be told over HTTP: every connection there is refused; name the ports of HTTP, or ask by gRPC`;
    problems.push(doubt(sourced, PROVIDER_NAME, 'provider_not_for_tcp', message));
  }
  return problems;
}

function nameOf(service: Service | undefined): string {
  return `${service?.namespace}/${service?.name}`;
}

/** Where the provider is, as far as a MeshService says; a bare name is one of the policy's namespace. */
function serviceOf(
  { host, port, namespace }: Provider,
  policy: Policy,
  all: readonly SourcedResource[],
  { rootNamespace }: Mesh,
): Service | undefined {
  const wanted = host.toLowerCase();
  const from = policy.namespace === rootNamespace ? undefined : policy.namespace;
  for (const { any } of all) {
    if (any.type !== 'MeshService') continue;
    const service = any.resource;
    if (namespace !== undefined && service.namespace !== namespace) continue;
    if (isBareName(wanted) && namespace === undefined && from !== undefined && service.namespace !== from) continue;
    if (service.spec.hosts.some((given) => isHost(given, wanted, port))) return service;
  }
  return undefined;
}

function isHost(given: string, host: string, port: number): boolean {
  const authority = parseAuthority(given.toLowerCase());
  return authority?.host === host && (authority.port === undefined || authority.port === port);
}

/** True where a rule may match a check as it comes in at the provider's own sidecar. */
function asksItself(
  policy: Policy,
  provider: Provider,
  service: Service,
  workloads: KnownWorkloads,
  mesh: Mesh,
): boolean {
  const isBound = boundWorkloads(policy, workloads, mesh).some(
    (bound) => bound.namespace === service.namespace && bound.service === service.name,
  );
  if (!isBound) return false;
  const ports = new Set(service.spec.endpoints.map((endpoint) => String(appPort(endpoint, provider.port))));
  return (policy.spec.rules ?? []).some(
    ({ to }) => to === undefined || to.some((one) => mayBeCheck(one, provider, ports)),
  );
}

/** Of a check by HTTP the path is not known but for its prefix. */
function mayBeCheck(
  { operation }: NonNullable<AuthorizationRule['to']>[number],
  { http }: Provider,
  ports: ReadonlySet<string>,
): boolean {
  const { paths = [], notPaths = [], ports: given = [], methods = [] } = operation;
  if (given.length > 0 && !given.some((port) => ports.has(port))) return false;
  if (http !== undefined) {
    const prefix = http.pathPrefix;
    const isUnder = (path: string) =>
      path.startsWith('*') || path.startsWith(prefix) || (path.endsWith('*') && prefix.startsWith(path.slice(0, -1)));
    return paths.length === 0 || paths.some(isUnder);
  }
  if (methods.length > 0 && !methods.some((method) => method === 'POST' || method === '*')) return false;
  return (
    (paths.length === 0 || paths.some(mayMatchCheck)) &&
    !notPaths.some((path) => path === CHECK_PATH || isPrefixOfCheck(path))
  );
}

function mayMatchCheck(path: string): boolean {
  return (
    path === CHECK_PATH ||
    path.includes('{') ||
    isPrefixOfCheck(path) ||
    (path.startsWith('*') && CHECK_PATH.endsWith(path.slice(1)))
  );
}

function isPrefixOfCheck(path: string): boolean {
  return path.endsWith('*') && CHECK_PATH.startsWith(path.slice(0, -1));
}

/** The first port of TCP on which a rule matches, as it does there without what only HTTP has. */
function tcpPortAsked(
  policy: Policy,
  rules: readonly AuthorizationRule[],
  workloads: KnownWorkloads,
  mesh: Mesh,
): number | undefined {
  for (const { protocols } of boundWorkloads(policy, workloads, mesh)) {
    for (const [port, protocol] of protocols) {
      if (protocol !== 'tcp') continue;
      const isNamed = (named: readonly string[] | undefined) =>
        named === undefined || named.length === 0 || named.includes(String(port));
      const matches = ({ to, when }: AuthorizationRule) =>
        (to === undefined ||
          to.some(({ operation }) => isNamed(operation.ports) && !(operation.notPorts ?? []).includes(String(port)))) &&
        (when ?? []).every(({ key, values }) => key !== 'destination.port' || isNamed(values));
      if (rules.some(matches)) return port;
    }
  }
  return undefined;
}
