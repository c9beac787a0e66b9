import { isIPv6 } from 'node:net';

const GROUPS = 8;

/**
 * An address as two who mean the same write it: IPv6 as in RFC 5952 (an IPv4 address within it in hexadecimal), any other
 * in lower case as it is.
 */
export function canonicalAddress(text: string): string {
  if (!text.includes(':') || !isIPv6(text)) return text.toLowerCase();
  const [head = '', tail] = withHexadecimalTail(text).split('::');
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  const zeros = Array.from({ length: GROUPS - front.length - back.length }, () => 0);
  return ipv6Text([...front, ...zeros, ...back]);
}

/** The text of an IPv6 address of eight 16-bit groups. Source: RFC 5952 §4. */
export function ipv6Text(groups: readonly number[]): string {
  const { start, length } = longestZeros(groups);
  const texts = groups.map((group) => group.toString(16));
  if (length < 2) return texts.join(':');
  return `${texts.slice(0, start).join(':')}::${texts.slice(start + length).join(':')}`;
}

/** The first of the longest runs of zeros (RFC 5952 §4.2.3). */
function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let longest = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > longest.length) longest = { start, length: index + 1 - start };
  }
  return longest;
}

function groupsOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

/** `::ffff:10.0.0.1` as `::ffff:a00:1`. */
function withHexadecimalTail(text: string): string {
  const end = text.lastIndexOf(':') + 1;
  const octets = text.slice(end).split('.').map(Number);
  const [a = 0, b = 0, c = 0, d = 0] = octets;
  if (octets.length !== 4) return text;
  return `${text.slice(0, end)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}
