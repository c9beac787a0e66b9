import type { SidecarConfiguration } from '../configuration/sidecar-configuration.ts';

const LOOPBACK = '127.0.0.1';
/** REDIRECT leads what the app sends to loopback, and what comes from the network to the address of its interface. */
const REDIRECTED_INBOUND = ['0.0.0.0', '::'];
const REDIRECTED_OUTBOUND = [LOOPBACK, '::1'];

export interface TrafficAddress {
  readonly port: number;
  /** One at least; all but the first may be missing on this machine. */
  readonly addresses: readonly string[];
}

/** Where the traffic listeners are: inbound in the order of the configuration, then outbound. */
export function trafficAddresses({ inbound, outbound, interception }: SidecarConfiguration): TrafficAddress[] {
  const isRedirected = interception === 'redirect';
  const at = ({ port, address }: { port: number; address: string | undefined }, redirected: readonly string[]) => ({
    port,
    addresses: address !== undefined ? [address] : isRedirected ? redirected : [LOOPBACK],
  });
  const own = outbound === undefined ? [] : [at(outbound, REDIRECTED_OUTBOUND)];
  return [...inbound.map((listener) => at(listener, REDIRECTED_INBOUND)), ...own];
}

/**
 * Calls `listen` with each address in turn. Rejects where one cannot be had; a further one that the machine does not have at
 * all (IPv6, where it is switched off) is left out.
 */
export async function listenOnAll(
  { port, addresses }: TrafficAddress,
  listen: (port: number, address: string) => Promise<unknown>,
): Promise<void> {
  for (const [index, address] of addresses.entries()) {
    try {
      await listen(port, address);
    } catch (error) {
      if (index > 0 && isMissing(error)) continue;
      throw new Error(`cannot listen on ${address}:${port}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT');
}
