import { isIP } from 'node:net';

/** Principals have no scheme, as in Istio. */
export function principalComplaint(value: string): string | undefined {
  if (!value.startsWith('spiffe://')) return undefined;
  return `principals are written without the scheme: ${value.slice('spiffe://'.length)}`;
}

/** NAME or NAMESPACE/NAME, no wildcard. */
export function serviceAccountComplaint(value: string): string | undefined {
  if (value.includes('*')) return 'wildcards are not allowed in service accounts';
  const parts = value.split('/');
  if (parts.length > 2 || parts.includes('')) return `expected NAME or NAMESPACE/NAME, got ${value}`;
  return undefined;
}

/** A trust domain, with an asterisk at one end at the most. */
export function trustDomainPatternComplaint(value: string): string | undefined {
  if (value.includes('/')) return `a trust domain has no slash: ${value.slice(0, value.indexOf('/'))}`;
  if (value === '' || /.[*]./.test(value) || /^[*].*[*]$/.test(value)) {
    return `expected a trust domain, or * at one of its ends, got ${value === '' ? '(empty)' : value}`;
  }
  return undefined;
}

/** An IP address or a CIDR block. */
export function ipBlockComplaint(value: string): string | undefined {
  const slash = value.indexOf('/');
  const version = isIP(slash === -1 ? value : value.slice(0, slash));
  if (version === 0) return `expected an IP address or CIDR block, got ${value}`;
  if (slash === -1) return undefined;
  const bits = value.slice(slash + 1);
  const isPrefix = /^(0|[1-9][0-9]{0,2})$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
  return isPrefix ? undefined : `a prefix of ${bits} bits is not one of 0 to ${version === 4 ? 32 : 128}`;
}

/** A port as Istio writes it: a string of digits. */
export function portComplaint(value: string): string | undefined {
  if (/^[0-9]{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 65535) return undefined;
  return `expected a port of 1 to 65535, got ${value}`;
}
