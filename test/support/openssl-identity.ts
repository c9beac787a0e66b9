import type { X509Certificate } from 'node:crypto';
import { parseSpiffeId, type SpiffeIdResult } from '#policy/identity/spiffe-id.ts';

const URI_PREFIX = 'URI:';

/** The SPIFFE ID of a leaf by what OpenSSL reads of it, to be compared with what policy/x509 reads. */
export function identityOfLeaf(certificate: X509Certificate): SpiffeIdResult {
  if (certificate.ca) return { kind: 'invalid', reason: 'the certificate is an authority, not a leaf' };
  const uris = uriNamesOf(certificate);
  const [only] = uris;
  if (only === undefined) return { kind: 'invalid', reason: 'the certificate has no URI SAN, so no SPIFFE ID' };
  if (uris.length > 1)
    return { kind: 'invalid', reason: `the certificate has ${uris.length} URI SANs; one is allowed` };
  if (only.startsWith('"')) return { kind: 'invalid', reason: 'the URI SAN has characters that no SPIFFE ID has' };
  return parseSpiffeId(only);
}

/** The URI SANs; one with special characters as a JSON string, with its quotes. */
export function uriNamesOf({ subjectAltName = '' }: Pick<X509Certificate, 'subjectAltName'>): readonly string[] {
  // node:crypto prints `URI:spiffe://…, DNS:…`
  return splitNames(subjectAltName)
    .filter((name) => name.startsWith(URI_PREFIX))
    .map((name) => name.slice(URI_PREFIX.length));
}

/** Splits at `, ` outside of quotes, so that a comma within a name cannot make two of it. */
function splitNames(text: string): string[] {
  const names: string[] = [];
  let start = 0;
  let isQuoted = false;
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (isQuoted && character === '\\') index++;
    else if (character === '"') isQuoted = !isQuoted;
    else if (!isQuoted && character === ',' && text[index + 1] === ' ') {
      names.push(text.slice(start, index));
      start = index + 2;
    }
  }
  if (start < text.length) names.push(text.slice(start));
  return names;
}
