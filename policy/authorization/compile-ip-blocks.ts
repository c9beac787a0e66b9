import { BlockList, isIP } from 'node:net';
import type { MatchesValue } from './compile-patterns.ts';

/** Compiles IP addresses and CIDR blocks; IPv4-mapped IPv6 addresses match IPv4 blocks. */
export function compileIpBlocks(blocks: readonly string[]): MatchesValue {
  const list = new BlockList();
  for (const block of blocks) {
    const [address = '', bits] = block.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (value) => {
    const version = isIP(value);
    return version !== 0 && list.check(value, version === 6 ? 'ipv6' : 'ipv4');
  };
}
