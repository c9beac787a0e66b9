import type { AttributeName, Reads } from '../condition/attributes.ts';

/** `withheld`: it is there, and its value is not known. `unknown`: nothing is known of it. */
export type Certainty = 'known' | 'withheld' | 'unknown';

/** What requests have besides headers and claims that a record of one may lack. */
export type DoubtfulPart = 'path' | 'query' | 'host' | 'sourceIp' | 'remoteIp' | 'destinationIp' | 'sni';

/** How much is known of a request that was recorded; what is not known of it is absent from the request itself. */
export interface Doubt {
  of(part: DoubtfulPart): Certainty;
  /** `lowerName`: no pseudo-header, and not `host`. */
  ofHeader(lowerName: string): Certainty;
  /** By the names that lead to it. */
  ofClaim(names: readonly string[]): Certainty;
}

/** Which part an attribute of conditions is; undefined: it is always recorded, or has members that are looked at one by one. */
const PARTS: { readonly [Name in AttributeName]: DoubtfulPart | undefined } = {
  'source.principal': undefined,
  'source.namespace': undefined,
  'source.serviceAccount': undefined,
  'source.ip': 'sourceIp',
  'destination.ip': 'destinationIp',
  'destination.port': undefined,
  'request.method': undefined,
  'request.path': 'path',
  'request.host': 'host',
  'request.headers': undefined,
  'request.query': 'query',
  jwt: undefined,
};

/** True where all is known that a condition looks at. */
export function isCertainFor({ attributes, headers, claims }: Reads, doubt: Doubt): boolean {
  for (const attribute of attributes) {
    const part = PARTS[attribute];
    if (part !== undefined && doubt.of(part) !== 'known') return false;
  }
  for (const name of headers) if (doubt.ofHeader(name) !== 'known') return false;
  for (const name of claims) if (doubt.ofClaim([name]) !== 'known') return false;
  return true;
}
