import { isIPv4, isIPv6 } from 'node:net';
import { parseArgs } from 'node:util';
import { ADMIN_PORT } from '#control-plane/injection/names.ts';
import { applyRedirection } from '#sidecar/interception/apply-redirection.ts';
import { METRICS_PORT, type Redirection, redirectionRules } from '#sidecar/interception/redirection-rules.ts';
import { waitUntilReady } from '#sidecar/probes/wait-ready.ts';
import { type Command, UsageError } from '../command.ts';

const help = `Usage: lateral init [OPTIONS]

Leads the TCP connections of this network namespace to its sidecar, by iptables: what comes in, and what any user but the
sidecar's sends out. A second run replaces the first. In a pod it is the container lateral-init; it needs the capability
NET_ADMIN, and the programs iptables-restore and ip6tables-restore (IPv6 is left out where the pod has none).

  --inbound-port 15006          where the sidecar takes what comes in
  --outbound-port 15001         where it takes what the app sends
  --proxy-uid 1337              user of the sidecar, whose own connections go past it
  --exclude-inbound-ports …     ports of the pod that are reached past it: 9000,9001 (${METRICS_PORT} always is)
  --exclude-outbound-ports …    ports that the app reaches past it: 3306
  --exclude-outbound-cidrs …    networks that the app reaches past it: 10.9.0.0/16,fd00:9::/32
  --wait-ready                  waits first until the sidecar of this pod serves (its admin port 15000), 120 s at most
  --dry-run                     prints the input of iptables-restore and ip6tables-restore, and changes nothing

Loopback traffic, and UDP, are never redirected.

Example:
  lateral init --exclude-outbound-ports 3306 --dry-run
`;

const OPTIONS = {
  'inbound-port': { type: 'string', default: '15006' },
  'outbound-port': { type: 'string', default: '15001' },
  'proxy-uid': { type: 'string', default: '1337' },
  'exclude-inbound-ports': { type: 'string', default: '' },
  'exclude-outbound-ports': { type: 'string', default: '' },
  'exclude-outbound-cidrs': { type: 'string', default: '' },
  'wait-ready': { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
} as const;

export const initCommand: Command = {
  name: 'init',
  summary: 'leads the traffic of a pod to its sidecar (init container)',
  help,
  async run(args, io) {
    const { values } = parseArgs({ args: [...args], options: OPTIONS });
    const redirection: Redirection = {
      inboundPort: portOf('--inbound-port', values['inbound-port']),
      outboundPort: portOf('--outbound-port', values['outbound-port']),
      proxyUid: numberOf('--proxy-uid', values['proxy-uid'], 1, 2 ** 32 - 2),
      excludeInboundPorts: portsOf('--exclude-inbound-ports', values['exclude-inbound-ports']),
      excludeOutboundPorts: portsOf('--exclude-outbound-ports', values['exclude-outbound-ports']),
      excludeOutboundCidrs: listOf(values['exclude-outbound-cidrs']).map(cidrOf),
    };
    if (redirection.inboundPort === redirection.outboundPort) {
      throw new UsageError(`--inbound-port and --outbound-port are both ${redirection.inboundPort}`);
    }
    if (values['dry-run']) {
      for (const [program, family] of [
        ['iptables-restore', 'IPv4'],
        ['ip6tables-restore', 'IPv6'],
      ] as const) {
        io.stdout(`# ${program} --noflush\n${redirectionRules(redirection, family)}`);
      }
      return 0;
    }
    if (values['wait-ready']) await waitUntilReady(ADMIN_PORT);
    const families = await applyRedirection(redirection);
    io.stdout(`${JSON.stringify({ event: 'redirected', families, ...redirection })}\n`);
    return 0;
  },
};

function listOf(text: string): readonly string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

function portsOf(option: string, text: string): readonly number[] {
  return listOf(text).map((entry) => portOf(option, entry));
}

function portOf(option: string, text: string): number {
  return numberOf(option, text, 1, 65_535);
}

function numberOf(option: string, text: string, minimum: number, maximum: number): number {
  const number = Number(text);
  if (/^[0-9]{1,10}$/.test(text) && number >= minimum && number <= maximum) return number;
  throw new UsageError(`${option} ${text}: expected a number of ${minimum} to ${maximum}`);
}

function cidrOf(text: string): string {
  const [, address = '', bits] = /^([^/]+)(?:\/([0-9]{1,3}))?$/.exec(text) ?? [];
  const most = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1;
  if (most === -1 || Number(bits ?? 0) > most) {
    throw new UsageError(`--exclude-outbound-cidrs ${text}: expected ADDRESS/BITS, e.g. 10.9.0.0/16`);
  }
  return text;
}
