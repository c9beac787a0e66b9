import type { GateCounts } from './connection-gate.ts';

/** Lines of the Prometheus text exposition format 0.0.4. */
export function refusedConnectionLines(prefix: string, { refused }: GateCounts): string[] {
  const name = `${prefix}_connections_refused_total`;
  return [
    `# HELP ${name} Connections closed by a bound: of all or an address, of those that have proven nothing, of an identity, of time; displaced: for an address that had fewer.`,
    `# TYPE ${name} counter`,
    ...Object.entries(refused).map(([bound, count]) => `${name}{bound="${bound}"} ${count}`),
  ];
}
