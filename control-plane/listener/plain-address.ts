/** The address alone of `ADDRESS:PORT`, as grpc-js gives it: IPv6 without brackets, IPv4 perhaps mapped into IPv6. */
export function addressOfPeer(peer: string): string {
  const end = peer.lastIndexOf(':');
  return plainAddress(end === -1 ? peer : peer.slice(0, end));
}

/** IPv4 in its own form (RFC 4291 §2.5.5.2): a caller counts as one, whichever family the listener is of. */
export function plainAddress(address: string): string {
  return address.replace(/^\[|\]$/g, '').replace(/^::ffff:(?=\d+\.)/i, '');
}
