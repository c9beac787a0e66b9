import { nearestSpelling } from '../../schema/nearest-spelling.ts';
import {
  ipBlockComplaint,
  portComplaint,
  serviceAccountComplaint,
  trustDomainPatternComplaint,
} from './value-complaints.ts';

/** Keys of `when` that take no name. */
export const PLAIN_KEYS = [
  'source.principal',
  'source.namespace',
  'source.serviceAccount',
  'source.trustDomain',
  'source.ip',
  'remote.ip',
  'destination.ip',
  'destination.port',
  'connection.sni',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
] as const;
type PlainKey = (typeof PLAIN_KEYS)[number];

/** Every key that `when` knows, as the documents write it. */
export const CONDITION_KEYS = ['request.headers[NAME]', 'request.auth.claims[NAME]', ...PLAIN_KEYS] as const;

/** A key of `when`, taken apart. */
export type ConditionKey =
  | { readonly kind: 'header'; readonly lowerName: string }
  /** By the names that lead to it. */
  | { readonly kind: 'claim'; readonly names: readonly string[] }
  | { readonly kind: PlainKey };

/** What is written as a header, and is none in HTTP/1.1. */
export const PSEUDO_HEADERS = [':authority', ':method'] as const;
const HEADER_KEY = new RegExp(`^request\\.headers\\[([!#$%&'*+.^_\`|~0-9A-Za-z-]+|${PSEUDO_HEADERS.join('|')})\\]$`);
const CLAIM_KEY = /^request\.auth\.claims((?:\[[^[\]]+\])+)$/;
const NOT_IMPLEMENTED = /^(experimental\.|request\.experimental\.)/;

/** Istio's attributes; undefined for one that is unknown or not implemented. Header names are without regard to case. */
export function parseConditionKey(key: string): ConditionKey | undefined {
  const plain = PLAIN_KEYS.find((candidate) => candidate === key);
  if (plain !== undefined) return { kind: plain };
  const header = HEADER_KEY.exec(key)?.[1];
  if (header !== undefined) return { kind: 'header', lowerName: header.toLowerCase() };
  const claim = CLAIM_KEY.exec(key)?.[1];
  return claim === undefined ? undefined : { kind: 'claim', names: claim.slice(1, -1).split('][') };
}

/** What is wrong with a key of `when`, or undefined. */
export function conditionKeyComplaint(key: string): string | undefined {
  if (parseConditionKey(key) !== undefined) return undefined;
  if (key.startsWith('destination.labels')) return 'destination.labels is replaced by the selector';
  if (key === 'destination.namespace') return 'destination.namespace is replaced by metadata.namespace';
  if (key.startsWith('request.headers')) return `expected request.headers[NAME], got ${key}`;
  if (key.startsWith('request.auth.claims')) return `expected request.auth.claims[NAME] or […][NAME], got ${key}`;
  const near = nearestSpelling(key, [...PLAIN_KEYS, 'request.headers[]', 'request.auth.claims[]']);
  const hint = near === undefined ? `known: ${CONDITION_KEYS.join(', ')}` : `did you mean ${near}?`;
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
    case 'remote.ip':
    case 'destination.ip':
      return ipBlockComplaint(value);
    case 'destination.port':
      return portComplaint(value);
    case 'source.serviceAccount':
      return serviceAccountComplaint(value);
    case 'source.trustDomain':
      return trustDomainPatternComplaint(value);
    default:
      return undefined;
  }
}
