import { parseSpiffeId, type SpiffeIdResult } from './spiffe-id.ts';

/**
 * The SPIFFE ID of a certificate by its subject alternative names (as node:crypto prints them:
 * `URI:spiffe://…, DNS:…`, values with special characters as JSON strings). Exactly one URI SAN is
 * valid; other names give no identity. Source: X.509-SVID §2, §5.2.
 */
export function identityOfCertificate(subjectAltName: string | undefined): SpiffeIdResult {
  const uris = splitNames(subjectAltName ?? '').filter((name) => name.startsWith('URI:'));
  const [only] = uris;
  if (only === undefined) return { kind: 'invalid', reason: 'the certificate has no URI SAN, so no SPIFFE ID' };
  if (uris.length > 1)
    return { kind: 'invalid', reason: `the certificate has ${uris.length} URI SANs; one is allowed` };
  const value = only.slice('URI:'.length);
  if (value.startsWith('"')) return { kind: 'invalid', reason: 'the URI SAN has characters that no SPIFFE ID has' };
  return parseSpiffeId(value);
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
