import { type JsonObject, objectAt, objectsAt, textAt } from './json-object.ts';
import { METRICS_PORT } from './names.ts';

const PROBES = [
  ['readinessProbe', 'readiness'],
  ['livenessProbe', 'liveness'],
  ['startupProbe', 'startup'],
] as const;
const AGENT_PATH = '/app-health/';
const HOOKS = ['postStart', 'preStop'] as const;
/** Kubernetes' default of timeoutSeconds. */
const DEFAULT_TIMEOUT_SECONDS = 1;
/** The longest that the sidecar takes; the kubelet gives up by itself. */
const MAX_TIMEOUT_SECONDS = 3_600;

/** One entry of the sidecar's `probes`: the probe as the pod stated it. */
export type RewrittenProbe = JsonObject;

export interface RewrittenContainer {
  readonly container: JsonObject;
  readonly probes: readonly RewrittenProbe[];
  readonly warnings: readonly string[];
}

/**
 * Leads the probes of a container, and its lifecycle hooks over HTTP, to the sidecar's port: the kubelet has no certificate,
 * and its plaintext would be refused. Timings stay. exec needs no network; a probe with a `host` of its own does not go to the
 * pod; both stay as they are. Excluded ports are treated like all others: one rule, and the sidecar reaches them as well. A hook
 * has effects, and the sidecar's port is open to the whole cluster: its path has a key.
 */
export function rewriteProbes(container: JsonObject, newKey: () => string): RewrittenContainer {
  const probes: RewrittenProbe[] = [];
  const warnings: string[] = [];
  const name = textAt(container, 'name') ?? '';
  let rewritten = container;
  for (const [field, kind] of PROBES) {
    const probe = objectAt(container, field);
    const target = targetOf(probe, container, `${name}: ${field}`, warnings);
    if (target === undefined) continue;
    const { httpGet: _http, tcpSocket: _tcp, grpc: _grpc, ...timings } = probe;
    const timeoutSeconds = timeoutOf(probe);
    probes.push({ container: name, kind, timeoutSeconds, ...target });
    rewritten = { ...rewritten, [field]: { ...timings, httpGet: agentProbe(name, kind) } };
  }
  const lifecycle = objectAt(container, 'lifecycle');
  for (const kind of HOOKS) {
    const hook = objectAt(lifecycle, kind);
    if (hook['httpGet'] === undefined) continue;
    const target = targetOf({ httpGet: hook['httpGet'] }, container, `${name}: lifecycle.${kind}`, warnings);
    if (target === undefined) continue;
    const key = newKey();
    probes.push({ container: name, kind, key, ...target });
    const others = objectAt(rewritten, 'lifecycle');
    rewritten = { ...rewritten, lifecycle: { ...others, [kind]: { httpGet: agentProbe(name, kind, `?key=${key}`) } } };
  }
  return { container: rewritten, probes, warnings };
}

function timeoutOf({ timeoutSeconds }: JsonObject): number {
  if (typeof timeoutSeconds !== 'number' || timeoutSeconds < 1) return DEFAULT_TIMEOUT_SECONDS;
  return Math.min(Math.floor(timeoutSeconds), MAX_TIMEOUT_SECONDS);
}

/** Led to the sidecar already. */
function isAgentProbe(http: JsonObject): boolean {
  return http['port'] === METRICS_PORT && (textAt(http, 'path') ?? '').startsWith(AGENT_PATH);
}

function agentProbe(container: string, kind: string, query = ''): JsonObject {
  return { path: `${AGENT_PATH}${container}/${kind}${query}`, port: METRICS_PORT, scheme: 'HTTP' };
}

/** What the sidecar is to ask; undefined: this probe stays as it is. */
function targetOf(probe: JsonObject, container: JsonObject, what: string, warnings: string[]): JsonObject | undefined {
  const http = objectAt(probe, 'httpGet');
  const tcp = objectAt(probe, 'tcpSocket');
  const grpc = objectAt(probe, 'grpc');
  const port = portOf(http['port'] ?? tcp['port'] ?? grpc['port'], container);
  if (probe['httpGet'] === undefined && probe['tcpSocket'] === undefined && probe['grpc'] === undefined)
    return undefined;
  if (isAgentProbe(http)) return undefined;
  if ((textAt(http, 'host') ?? '') !== '' || (textAt(tcp, 'host') ?? '') !== '') return undefined;
  if (port === undefined) {
    warnings.push(`container ${what}: its port is not one of the container's; the probe is left as it is`);
    return undefined;
  }
  if (probe['tcpSocket'] !== undefined) return { tcp: { port } };
  if (probe['grpc'] !== undefined) return { grpc: { port, service: textAt(grpc, 'service') ?? '' } };
  const headers = objectsAt(http, 'httpHeaders').map((header) => ({
    name: textAt(header, 'name') ?? '',
    value: textAt(header, 'value') ?? '',
  }));
  const scheme = textAt(http, 'scheme') === 'HTTPS' ? 'https' : 'http';
  return { http: { port, path: textAt(http, 'path') ?? '', scheme, headers } };
}

/** A number in range, or a name among the container's own ports, as the kubelet resolves it. */
function portOf(port: unknown, container: JsonObject): number | undefined {
  if (typeof port === 'number') return port >= 1 && port <= 65_535 ? port : undefined;
  if (typeof port !== 'string') return undefined;
  const named = objectsAt(container, 'ports').find((candidate) => candidate['name'] === port)?.['containerPort'];
  if (typeof named === 'number') return portOf(named, container);
  return /^\d{1,5}$/.test(port) ? portOf(Number(port), container) : undefined;
}
