import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { canonicalAddress } from '#policy/mesh/canonical-address.ts';

/** What a call to the own pod comes from: `lateral init` has a rule for it, that leads to the inbound listener. */
export const OWN_CALLS_FROM = { IPv4: '127.0.0.6', IPv6: '::6' } as const;
/** Its last 16 bits, for IPv6: loopback must be given it, as that has all of 127.0.0.0/8 and of IPv6 one address. */
export const OWN_IPV6_SOURCE = 6;

/** How often the interfaces are asked again at most: an address that comes later is known after this. */
const REREAD_INTERVAL_MS = 1_000;

/** The addresses of the pod: the one it is told, and those of its interfaces (a pod may have one of each family). */
export function ownAddresses(told: string | undefined): ReadonlySet<string> {
  return addressesOf(told, ({ internal }) => !internal);
}

/** Tells whether an address, spelled by `canonicalAddress`, is one of this network namespace, loopback's among them. */
export function ownAddressTest(told: string | undefined): (address: string) => boolean {
  let own = addressesOf(told, () => true);
  let readAt = performance.now();
  return (address) => {
    if (own.has(address)) return true;
    if (performance.now() - readAt < REREAD_INTERVAL_MS) return false;
    own = addressesOf(told, () => true);
    readAt = performance.now();
    return own.has(address);
  };
}

function addressesOf(
  told: string | undefined,
  isWanted: (of: { readonly internal: boolean }) => boolean,
): ReadonlySet<string> {
  const found = Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.filter(isWanted).map(({ address }) => address),
  );
  return new Set([...found, ...(told === undefined ? [] : [told])].map(canonicalAddress));
}

/**
 * Where a connection to an endpoint is to come from, so that a call to the own pod passes its own inbound listener like any
 * other: what the sidecar sends is not redirected otherwise. Undefined: from wherever.
 */
export function sourceFor(address: string, own: ReadonlySet<string>): string | undefined {
  if (!own.has(canonicalAddress(address))) return undefined;
  return isIPv6(address) ? OWN_CALLS_FROM.IPv6 : OWN_CALLS_FROM.IPv4;
}
