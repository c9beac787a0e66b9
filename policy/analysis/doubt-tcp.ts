import type { Problem } from '../problem.ts';
import type { Resource } from '../resource/kind.ts';
import { isForSidecars } from '../resource/kinds/attachment.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import type { Mesh, ServiceProtocol } from '../workload-policy.ts';
import { doubt } from './analysis-code.ts';
import { boundWorkloads, type KnownWorkloads } from './known-workloads.ts';
import { clausesOf, type RuleClause, type RuleClauses } from './rule-clauses.ts';

/** What HTTP fields mean where no HTTP is spoken. Source: Istio, whose filters of TCP are made so, in silence. */
export function tcpDoubts(
  sourced: SourcedResource,
  policy: Resource<AuthorizationPolicySpec>,
  workloads: KnownWorkloads,
  mesh: Mesh,
): readonly Problem[] {
  const { namespace, spec } = policy;
  const isNear =
    namespace === mesh.rootNamespace ? workloads.tcpNamespaces.size > 0 : workloads.tcpNamespaces.has(namespace);
  if (!isForSidecars(policy) || !isNear) return [];
  const ports = portProtocols(boundWorkloads(policy, workloads, mesh).map(({ protocols }) => protocols));
  return (spec.rules ?? []).flatMap((_rule, index) => {
    const clauses = clausesOf(policy, index);
    const onTcp = httpOnTcp(clauses, spec.action, ports).map(([field, port]) => {
      const path = ['spec', 'rules', index, ...field.path];
      return doubt(sourced, path, 'http_field_on_tcp_port', httpFieldMessage(spec.action, port));
    });
    if (onTcp.length > 0 || spec.action !== 'DENY' || !isHttpAlone(clauses)) return onTcp;
    const message = 'denies every TCP connection: only HTTP fields are in it, which TCP has not; name the port';
    return [doubt(sourced, ['spec', 'rules', index], 'denies_tcp', message)];
  });
}

function httpFieldMessage(action: AuthorizationPolicySpec['action'], port: number): string {
  const effect =
    action === 'ALLOW'
      ? 'with this field the rule never allows a connection there'
      : 'the rule is judged there without this field, and matches more';
  return `port ${port} of the workload is tcp, and only HTTP has this: ${effect}; use principals, namespaces, ipBlocks and ports, or leave the port to a rule of its own`;
}

/** True: all that speak on the port of the app speak TCP. */
type TcpPorts = ReadonlyMap<number, boolean>;

function portProtocols(all: readonly (readonly (readonly [number, ServiceProtocol])[])[]): TcpPorts {
  const ports = new Map<number, boolean>();
  for (const protocols of all) {
    for (const [port, protocol] of protocols) ports.set(port, protocol === 'tcp' && ports.get(port) !== false);
  }
  return ports;
}

/** Fields that only HTTP has, and a port that is TCP for which they are judged. */
function httpOnTcp(
  { from, to, when }: RuleClauses,
  action: AuthorizationPolicySpec['action'],
  ports: TcpPorts,
): readonly (readonly [RuleClause, number])[] {
  const common = [...from.flat(), ...when];
  const alternatives = to.length === 0 ? [[]] : to;
  const found = new Map<RuleClause, number>();
  for (const alternative of alternatives) {
    const port = tcpPortOf([...alternative, ...when], ports);
    if (port === undefined) continue;
    // An ALLOW rule that has such a field in any of its alternatives allows no TCP by the others either.
    const judged = action === 'ALLOW' ? [...to.flat(), ...common] : [...alternative, ...common];
    for (const one of judged) if (one.attribute.isHttp && !found.has(one)) found.set(one, port);
  }
  return [...found];
}

/** A port of TCP among those that are named; where none is, the first of those of the workload if they all are. */
function tcpPortOf(clauses: readonly RuleClause[], ports: TcpPorts): number | undefined {
  const named = clauses.filter(({ attribute, isNegative }) => attribute.name === 'destination.port' && !isNegative);
  if (named.length > 0) {
    return [...(named[0]?.exactTexts ?? [])].map(Number).find((port) => ports.get(port) === true);
  }
  return [...ports.values()].every((isTcp) => isTcp) ? [...ports.keys()][0] : undefined;
}

function isHttpAlone({ from, to, when, others }: RuleClauses): boolean {
  const all = [...from.flat(), ...to.flat(), ...when];
  return others === '' && all.length > 0 && all.every(({ attribute }) => attribute.isHttp);
}
