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
