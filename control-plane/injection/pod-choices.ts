import { isIP } from 'node:net';
import { nearestSpelling } from '#policy/schema/nearest-spelling.ts';
import { hostPortComplaint } from './injection-configuration.ts';
import {
  CONTROL_PLANE_ADDRESS,
  EXCLUDE_INBOUND_PORTS,
  EXCLUDE_OUTBOUND_CIDRS,
  EXCLUDE_OUTBOUND_PORTS,
  INJECT,
  INJECTED,
  INTERCEPTION,
  PROTOCOL_PREFIX,
  SIDECAR_CPU,
  SIDECAR_CPU_LIMIT,
  SIDECAR_MEMORY,
  SIDECAR_MEMORY_LIMIT,
} from './names.ts';
import { quantityComplaint } from './quantity.ts';

/** Ports or CIDRs that one annotation may name: each is a rule in the pod's kernel tables. */
export const MAX_EXCLUSIONS = 64;

const PROTOCOLS = ['http', 'grpc', 'tcp'] as const;
const KNOWN = [
  INJECT,
  INJECTED,
  INTERCEPTION,
  EXCLUDE_INBOUND_PORTS,
  EXCLUDE_OUTBOUND_PORTS,
  EXCLUDE_OUTBOUND_CIDRS,
  CONTROL_PLANE_ADDRESS,
  SIDECAR_CPU,
  SIDECAR_CPU_LIMIT,
  SIDECAR_MEMORY,
  SIDECAR_MEMORY_LIMIT,
];

export type AppProtocol = (typeof PROTOCOLS)[number];

/** What a pod says about its own injection. */
export interface PodChoices {
  readonly interception: 'redirect' | 'none';
  readonly excludeInboundPorts: readonly number[];
  readonly excludeOutboundPorts: readonly number[];
  readonly excludeOutboundCidrs: readonly string[];
  /** By the app's port, ascending. */
  readonly protocols: readonly { readonly port: number; readonly protocol: AppProtocol }[];
  /** `HOST:PORT`; undefined: the injector's. */
  readonly controlPlaneAddress: string | undefined;
  readonly cpu: string | undefined;
  readonly cpuLimit: string | undefined;
  readonly memory: string | undefined;
  readonly memoryLimit: string | undefined;
}

export interface PodChoicesReading {
  readonly choices: PodChoices;
  /** What is wrong; with any of these the pod is refused. */
  readonly complaints: readonly string[];
  readonly warnings: readonly string[];
}

type Annotations = { readonly [name: string]: string };

/** Reads the `lateral.dev/…` annotations of a pod; all faults are found at once. */
export function readPodChoices(annotations: Annotations): PodChoicesReading {
  const complaints: string[] = [];
  const complain = (name: string, message: string) => void complaints.push(`annotation ${name}: ${message}`);
  const list = <T>(name: string, what: string, read: (text: string) => T | undefined): readonly T[] => {
    const parts = (annotations[name] ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
    if (parts.length > MAX_EXCLUSIONS) {
      complain(name, `${parts.length} entries exceed the limit of ${MAX_EXCLUSIONS}`);
      return [];
    }
    const values = parts.map((part) => {
      const value = read(part);
      if (value === undefined) complain(name, `${JSON.stringify(part)} is not ${what}`);
      return value;
    });
    return [...new Set(values.filter((value) => value !== undefined))];
  };
  const checked = (name: string, complaintOf: (text: string) => string | undefined): string | undefined => {
    const text = annotations[name];
    const complaint = text === undefined ? undefined : complaintOf(text);
    if (complaint !== undefined) complain(name, complaint);
    return text;
  };
  const amount = (name: string) => checked(name, quantityComplaint);
  const choices: PodChoices = {
    interception: interceptionOf(annotations, complain),
    excludeInboundPorts: list(EXCLUDE_INBOUND_PORTS, 'a port from 1 to 65535', portOf),
    excludeOutboundPorts: list(EXCLUDE_OUTBOUND_PORTS, 'a port from 1 to 65535', portOf),
    excludeOutboundCidrs: list(EXCLUDE_OUTBOUND_CIDRS, 'an address range such as 10.0.0.0/8 or fd00::/8', cidrOf),
    protocols: protocolsOf(annotations, complain),
    controlPlaneAddress: checked(CONTROL_PLANE_ADDRESS, hostPortComplaint),
    cpu: amount(SIDECAR_CPU),
    cpuLimit: amount(SIDECAR_CPU_LIMIT),
    memory: amount(SIDECAR_MEMORY),
    memoryLimit: amount(SIDECAR_MEMORY_LIMIT),
  };
  return { choices, complaints, warnings: unknownNames(annotations) };
}

type Complain = (name: string, message: string) => void;

function interceptionOf(annotations: Annotations, complain: Complain): 'redirect' | 'none' {
  const value = annotations[INTERCEPTION] ?? 'redirect';
  if (value === 'redirect' || value === 'none') return value;
  complain(INTERCEPTION, `expected redirect or none, got ${JSON.stringify(value)}`);
  return 'redirect';
}

function protocolsOf(annotations: Annotations, complain: Complain): PodChoices['protocols'] {
  const found: { port: number; protocol: AppProtocol }[] = [];
  for (const [name, value] of Object.entries(annotations)) {
    if (!name.startsWith(PROTOCOL_PREFIX)) continue;
    const port = portOf(name.slice(PROTOCOL_PREFIX.length));
    const protocol = PROTOCOLS.find((known) => known === value);
    if (port === undefined) complain(name, `its name must end in a port, as in ${PROTOCOL_PREFIX}8080`);
    else if (protocol === undefined) complain(name, `expected http, grpc or tcp, got ${JSON.stringify(value)}`);
    else found.push({ port, protocol });
  }
  return found.sort((left, right) => left.port - right.port);
}

/** A slip in a name would otherwise go unnoticed. */
function unknownNames(annotations: Annotations): string[] {
  return Object.keys(annotations)
    .filter((name) => name.startsWith('lateral.dev/') && !name.startsWith(PROTOCOL_PREFIX) && !KNOWN.includes(name))
    .map((name) => {
      const near = nearestSpelling(name, KNOWN);
      return `annotation ${name} is not known${near === undefined ? '' : `; did you mean ${near}?`}`;
    });
}

function portOf(text: string): number | undefined {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

function cidrOf(text: string): string | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const family = isIP(match?.[1] ?? '');
  if (match === null || family === 0 || (match[1] ?? '').includes('%')) return undefined;
  return Number(match[2]) <= (family === 4 ? 32 : 128) ? text : undefined;
}
