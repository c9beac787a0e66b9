import type { Reads } from '../condition/attributes.ts';

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

/** True where all is known that a condition looks at. */
export function isCertainFor({ attributes, headers, claims }: Reads, doubt: Doubt): boolean {
  const isKnown = (part: DoubtfulPart) => doubt.of(part) === 'known';
  for (const attribute of attributes) {
    switch (attribute) {
      case 'source.ip':
        if (!isKnown('sourceIp')) return false;
        break;
      case 'destination.ip':
        if (!isKnown('destinationIp')) return false;
        break;
      case 'request.path':
        if (!isKnown('path')) return false;
        break;
      case 'request.host':
        if (!isKnown('host')) return false;
        break;
      case 'request.query':
        if (!isKnown('query')) return false;
        break;
      case 'request.headers':
        for (const name of headers) if (doubt.ofHeader(name) !== 'known') return false;
        break;
      case 'jwt':
        for (const name of claims) if (doubt.ofClaim([name]) !== 'known') return false;
        break;
      case 'source.principal':
      case 'source.namespace':
      case 'source.serviceAccount':
      case 'destination.port':
      case 'request.method':
        break;
    }
  }
  return true;
}
