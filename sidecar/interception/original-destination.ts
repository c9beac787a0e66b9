import type { Socket } from 'node:net';
import { ipv6Text } from '#policy/mesh/canonical-address.ts';
import { systemFunctions } from './system-functions.ts';

/** Where a connection was going before it was redirected. */
export interface OriginalDestination {
  /** An IP address, as `canonicalAddress` writes it. */
  readonly address: string;
  readonly port: number;
}

/** Undefined: the kernel knows of no other destination than the listener itself (or the connection is gone). */
export type ReadOriginalDestination = (socket: Socket) => OriginalDestination | undefined;

// linux/in.h, linux/in6.h, linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;
/** `struct sockaddr_in6`, the larger of the two. */
const ADDRESS_BYTES = 28;
const PORT_OFFSET = 2;
const IPV4_OFFSET = 4;
const IPV6_OFFSET = 8;
const IPV6_GROUPS = 8;

let reader: ReadOriginalDestination | undefined;

/** Loads what asks the kernel, once a thread. Throws where this Node cannot call it: nothing must be guessed then. */
export function originalDestinationReader(): ReadOriginalDestination {
  reader ??= makeReader(
    systemFunctions({ getsockopt: { arguments: ['i32', 'i32', 'i32', 'arraybuffer', 'arraybuffer'], return: 'i32' } })
      .getsockopt,
  );
  return reader;
}

type Getsockopt = (fd: number, level: number, name: number, value: ArrayBuffer, length: ArrayBuffer) => number;

function makeReader(getsockopt: Getsockopt): ReadOriginalDestination {
  // Array buffers of their own: the memory of small typed arrays moves when garbage is collected.
  const value = new ArrayBuffer(ADDRESS_BYTES);
  const view = new DataView(value);
  const length = new ArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const lengthView = new Int32Array(length);
  return (socket) => {
    const fd = descriptorOf(socket);
    const isIpv6 = socket.remoteFamily === 'IPv6';
    lengthView[0] = ADDRESS_BYTES;
    if (fd === undefined || getsockopt(fd, isIpv6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, value, length) !== 0)
      return undefined;
    const destination = { address: isIpv6 ? ipv6Of(view) : ipv4Of(view), port: view.getUint16(PORT_OFFSET) };
    return isListener(destination, socket) ? undefined : destination;
  };
}

/** Without a redirection the kernel names the listener's own address. */
function isListener({ address, port }: OriginalDestination, socket: Socket): boolean {
  return port === socket.localPort && address === socket.localAddress;
}

function ipv4Of(view: DataView): string {
  const octet = (index: number) => view.getUint8(IPV4_OFFSET + index);
  return `${octet(0)}.${octet(1)}.${octet(2)}.${octet(3)}`;
}

function ipv6Of(view: DataView): string {
  return ipv6Text(Array.from({ length: IPV6_GROUPS }, (_, index) => view.getUint16(IPV6_OFFSET + 2 * index)));
}

/** The file descriptor of a socket, which Node has and does not document; undefined: it is closed. */
function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = '_handle' in socket ? socket._handle : undefined;
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return undefined;
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}
