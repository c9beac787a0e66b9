/** IPv4-mapped IPv6 addresses are IPv4 addresses. Source: RFC 4291 §2.5.5.2. */
const MAPPED = '600000000000000000000ffff';
const V6_GROUPS = 8;
/** Bits of one hexadecimal digit. */
const DIGIT_BITS = 4;
const DOT = 0x2e;
const ZERO = 0x30;
const TWO_DIGITS = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'));

/**
 * An address as hexadecimal digits behind its family, `40a000001` for 10.0.0.1, so that blocks of addresses are prefixes of
 * texts; undefined: it is none.
 */
export function ipDigits(address: string): string | undefined {
  if (!address.includes(':')) {
    const digits = v4Digits(address);
    return digits === undefined ? undefined : `4${digits}`;
  }
  const digits = v6Digits(address);
  if (digits === undefined) return undefined;
  return digits.startsWith(MAPPED) ? `4${digits.slice(MAPPED.length)}` : digits;
}

/**
 * The prefixes of `ipDigits` that a block of addresses has, at most eight; `block` was checked. One of IPv4-mapped addresses has none of
 * IPv4's, as in Envoy, which takes such a block for one of IPv6 alone.
 */
export function ipBlockPrefixes(block: string): readonly string[] {
  const [address = '', bits] = block.split('/');
  const digits = (address.includes(':') ? v6Digits(address) : ipDigits(address)) ?? '';
  return prefixesOf(digits, bits === undefined ? (digits.length - 1) * DIGIT_BITS : Number(bits));
}

function prefixesOf(digits: string, bits: number): readonly string[] {
  const whole = digits.slice(0, 1 + Math.floor(bits / DIGIT_BITS));
  const rest = bits % DIGIT_BITS;
  if (rest === 0) return [whole];
  const size = 2 ** (DIGIT_BITS - rest);
  const first = Math.floor(Number.parseInt(digits.charAt(whole.length), 16) / size) * size;
  return Array.from({ length: size }, (_, index) => whole + (first + index).toString(16));
}

/** Written without a regular expression: it is done for every client that is new to its connection. */
function v4Digits(address: string): string | undefined {
  let digits = '';
  let parts = 0;
  let value = 0;
  let length = 0;
  for (let index = 0; index <= address.length; index++) {
    const code = index === address.length ? DOT : address.charCodeAt(index);
    if (code === DOT) {
      if (length === 0 || value > 255) return undefined;
      digits += TWO_DIGITS[value];
      parts += 1;
      value = 0;
      length = 0;
    } else {
      const digit = code - ZERO;
      if (digit < 0 || digit > 9 || (length > 0 && value === 0) || length === 3) return undefined;
      value = value * 10 + digit;
      length += 1;
    }
  }
  return parts === 4 ? digits : undefined;
}

function v6Digits(address: string): string | undefined {
  const [numeric = ''] = address.split('%', 1);
  const halves = numeric.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map(groupsOf);
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = V6_GROUPS - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  return `6${[...head, ...Array<string>(missing).fill('0000'), ...(tail ?? [])].join('')}`;
}

/** Groups of four digits; the last may be an IPv4 address, which makes two. */
function groupsOf(text: string): readonly string[] | undefined {
  if (text === '') return [];
  const groups: string[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (index === parts.length - 1 && part.includes('.')) {
      const digits = v4Digits(part);
      if (digits === undefined) return undefined;
      groups.push(digits.slice(0, 4), digits.slice(4));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(part.toLowerCase().padStart(4, '0'));
    else return undefined;
  }
  return groups;
}
