import { nearestSpelling } from '../../schema/nearest-spelling.ts';
import { ipBlockComplaint, portComplaint, serviceAccountComplaint } from './value-complaints.ts';

const PLAIN_KEYS = [
  'source.principal',
  'source.namespace',
  'source.serviceAccount',
  'source.ip',
  'destination.ip',
  'destination.port',
] as const;
type PlainKey = (typeof PLAIN_KEYS)[number];

/** A key of `when`, taken apart. */
export type ConditionKey = { readonly kind: 'header'; readonly lowerName: string } | { readonly kind: PlainKey };

const HEADER_KEY = /^request\.headers\[([!#$%&'*+.^_`|~0-9A-Za-z-]+|:authority|:method)\]$/;
const NOT_IMPLEMENTED = /^(request\.auth\.|remote\.ip$|connection\.sni$|experimental\.|request\.experimental\.)/;

/** Istio's attributes; undefined for one that is unknown or not implemented. Header names are without regard to case. */
export function parseConditionKey(key: string): ConditionKey | undefined {
  const plain = PLAIN_KEYS.find((candidate) => candidate === key);
  if (plain !== undefined) return { kind: plain };
  const header = HEADER_KEY.exec(key)?.[1];
  return header === undefined ? undefined : { kind: 'header', lowerName: header.toLowerCase() };
}

/** What is wrong with a key of `when`, or undefined. */
export function conditionKeyComplaint(key: string): string | undefined {
  if (parseConditionKey(key) !== undefined) return undefined;
  if (key.startsWith('destination.labels')) return 'destination.labels is replaced by the selector';
  if (key === 'destination.namespace') return 'destination.namespace is replaced by metadata.namespace';
  if (key.startsWith('request.headers')) return `expected request.headers[NAME], got ${key}`;
  const near = nearestSpelling(key, [...PLAIN_KEYS, 'request.headers[]']);
  const hint = near === undefined ? `known: request.headers[NAME], ${PLAIN_KEYS.join(', ')}` : `did you mean ${near}?`;
  return `unknown attribute ${key}; ${hint}`;
}

/** True for attributes that Istio knows and this version does not evaluate. */
export function isPlannedConditionKey(key: string): boolean {
  return NOT_IMPLEMENTED.test(key);
}

/** What is wrong with a value of `when` for this key, or undefined. */
export function conditionValueComplaint(key: string, value: string): string | undefined {
  switch (parseConditionKey(key)?.kind) {
    case 'source.ip':
    case 'destination.ip':
      return ipBlockComplaint(value);
    case 'destination.port':
      return portComplaint(value);
    case 'source.serviceAccount':
      return serviceAccountComplaint(value);
    default:
      return undefined;
  }
}
