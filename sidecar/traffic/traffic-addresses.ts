import type { SidecarConfiguration } from '../configuration/sidecar-configuration.ts';

const LOOPBACK = '127.0.0.1';

/** Where the traffic listeners are: inbound in the order of the configuration, then outbound. */
export function trafficAddresses({ inbound, outbound }: SidecarConfiguration): { port: number; address: string }[] {
  const all = [...inbound, ...(outbound === undefined ? [] : [outbound])];
  return all.map(({ port, address = LOOPBACK }) => ({ port, address }));
}
