import { OWN_CALLS_FROM } from './own-addresses.ts';

/** Which connections are led to the sidecar. */
export interface Redirection {
  readonly inboundPort: number;
  readonly outboundPort: number;
  /** User of the sidecar: what it sends is not led back to it. */
  readonly proxyUid: number;
  /** Ports of the pod that are reached past the sidecar. */
  readonly excludeInboundPorts: readonly number[];
  /** Ports that the app reaches past the sidecar. */
  readonly excludeOutboundPorts: readonly number[];
  /** Networks that the app reaches past the sidecar, each `ADDRESS/BITS` of either family. */
  readonly excludeOutboundCidrs: readonly string[];
}

export type Family = 'IPv4' | 'IPv6';

/** Metrics and probes: always reached past the sidecar. */
export const METRICS_PORT = 15_020;

const INBOUND = 'LATERAL_INBOUND';
const OUTBOUND = 'LATERAL_OUTBOUND';
const JUMPS = [`-A PREROUTING -p tcp -j ${INBOUND}`, `-A OUTPUT -p tcp -j ${OUTBOUND}`] as const;
const LOOPBACK = { IPv4: '127.0.0.0/8', IPv6: '::1/128' } as const;

/**
 * The input of `iptables-restore --noflush` (or ip6tables-restore) that puts a redirection in force: chains of its own, which a
 * second run replaces as a whole, and one jump to each. `present`: the rules there are (`iptables-save -t nat`), so that no jump is
 * doubled.
 */
export function redirectionRules(redirection: Redirection, family: Family, present = ''): string {
  const there = new Set(present.split('\n').map((line) => line.trim()));
  const lines = [
    '*nat',
    `:${INBOUND} - [0:0]`,
    `:${OUTBOUND} - [0:0]`,
    ...JUMPS.filter((jump) => !there.has(jump)),
    ...inboundRules(redirection),
    ...outboundRules(redirection, family),
    'COMMIT',
  ];
  return `${lines.join('\n')}\n`;
}

function inboundRules({ inboundPort, excludeInboundPorts }: Redirection): string[] {
  const excluded = [...new Set([METRICS_PORT, ...excludeInboundPorts])];
  return [
    // of a connection that is older than these rules, as the sidecar's to its control plane: the kernel takes up its answers as new
    `-A ${INBOUND} -p tcp ! --syn -j RETURN`,
    ...excluded.map((port) => `-A ${INBOUND} -p tcp --dport ${port} -j RETURN`),
    `-A ${INBOUND} -p tcp -j REDIRECT --to-ports ${inboundPort}`,
  ];
}

function outboundRules(redirection: Redirection, family: Family): string[] {
  const { inboundPort, outboundPort, proxyUid, excludeOutboundPorts, excludeOutboundCidrs } = redirection;
  const cidrs = excludeOutboundCidrs.filter((cidr) => cidr.includes(':') === (family === 'IPv6'));
  const ofProxy = `-m owner --uid-owner ${proxyUid}`;
  return [
    // a call of the pod to itself passes its own inbound, like any other
    `-A ${OUTBOUND} -s ${OWN_CALLS_FROM[family]} -o lo -p tcp ${ofProxy} -j REDIRECT --to-ports ${inboundPort}`,
    `-A ${OUTBOUND} ${ofProxy} -j RETURN`,
    // between the containers of a pod, by loopback or by the pod's own address
    `-A ${OUTBOUND} -o lo -j RETURN`,
    `-A ${OUTBOUND} -d ${LOOPBACK[family]} -j RETURN`,
    ...excludeOutboundPorts.map((port) => `-A ${OUTBOUND} -p tcp --dport ${port} -j RETURN`),
    ...cidrs.map((cidr) => `-A ${OUTBOUND} -d ${cidr} -j RETURN`),
    `-A ${OUTBOUND} -p tcp -j REDIRECT --to-ports ${outboundPort}`,
  ];
}
