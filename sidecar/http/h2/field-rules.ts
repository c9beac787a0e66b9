import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { nameRule } from '../name-rule.ts';

/** RFC 9113 §8.2.1 and RFC 9110 §5.5: no controls but tab, no space or tab at either end. */
const VALUE = /^(?![ \t])[\t\x20-\x7e\x80-\xff]*(?<![ \t])$/;

/**
 * What is wrong with fields from `start` on, which are no pseudo-header fields; undefined: nothing. `isCased`: names may have
 * upper case (between Lateral sidecars).
 */
export function fieldComplaint(fields: FlatHeaders, start: number, isCased: boolean): string | undefined {
  for (let index = start; index < fields.length; index += 2) {
    const name = fields[index] ?? '';
    const rule = nameRule(name);
    if (!rule.isToken) {
      return name.startsWith(':')
        ? `pseudo-header field ${JSON.stringify(name.slice(0, 60))} in the wrong place (RFC 9113 §8.3)`
        : `field name ${JSON.stringify(name.slice(0, 60))} is not a token (RFC 9113 §8.2.1)`;
    }
    if (!isCased && rule.lower !== name) return `field name ${name.slice(0, 60)} in upper case (RFC 9113 §8.2.1)`;
    if (rule.dashed === 'content-length' || rule.dashed === 'transfer-encoding')
      return `${name} can be taken for a framing field by programs that read "_" as "-"`;
    if (rule.isConnectionSpecific) return `connection-specific field ${name} (RFC 9113 §8.2.2)`;
    const value = fields[index + 1] ?? '';
    if (!isValue(value)) return `value of ${name} has a forbidden character (RFC 9113 §8.2.1)`;
    if (rule.lower === 'te' && value.toLowerCase() !== 'trailers') return `te other than trailers (RFC 9113 §8.2.2)`;
  }
  return undefined;
}

/** True for what a field value may be. */
export function isValue(value: string): boolean {
  return value === '' || VALUE.test(value);
}

/** Framing, routing, and what was decided on already: the same as in HTTP/1.1's trailer section (RFC 9110 §6.5.1). */
const FORBIDDEN_TRAILERS: ReadonlySet<string> = new Set([
  'content-length',
  'host',
  'trailer',
  'te',
  'authorization',
  'content-encoding',
  'content-type',
  'content-range',
]);

/** What is wrong with the fields of a trailer section; undefined: nothing. */
export function trailerComplaint(fields: FlatHeaders, isCased: boolean): string | undefined {
  const complaint = fieldComplaint(fields, 0, isCased);
  if (complaint !== undefined) return complaint;
  for (let index = 0; index < fields.length; index += 2) {
    const { lower } = nameRule(fields[index] ?? '');
    if (FORBIDDEN_TRAILERS.has(lower)) return `${lower} in the trailers (RFC 9110 §6.5.1)`;
  }
  return undefined;
}
