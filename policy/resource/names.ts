import { type Schema, string } from '../schema/schema.ts';

const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

/** A namespace or another name of one label. Source: RFC 1123 §2.1, at most 63 characters. */
export function dnsLabel(description: string): Schema<string> {
  return string({
    description,
    maxLength: 63,
    pattern: LABEL,
    check: (value) =>
      LABEL.test(value)
        ? undefined
        : `${value} is not an RFC 1123 label: a-z, 0-9 and "-", a letter or digit at both ends`,
  });
}

/** A resource's name. Source: RFC 1123 §2.1, at most 253 characters, as in Kubernetes. */
export function dnsSubdomain(description: string): Schema<string> {
  return string({
    description,
    maxLength: 253,
    pattern: SUBDOMAIN,
    check: (value) =>
      SUBDOMAIN.test(value)
        ? undefined
        : `${value} is not an RFC 1123 name: a-z, 0-9, "-" and ".", a letter or digit at both ends`,
  });
}
