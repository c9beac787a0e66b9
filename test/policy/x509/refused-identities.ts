import { commonName, dns, ext, uri } from './build-certificate.ts';
import { makeLeaf, WEB } from './mesh-certificates.ts';
import { leafOf, leafWith, name, type Rows, root } from './refused-row.ts';

/** A certificate's identity, each with what is wrong with it. */
export const IDENTITIES: Rows = {
  'two URI SANs': {
    chain: leafWith(ext.names(uri(WEB), uri('spiffe://cluster.local/ns/shop/sa/admin'))),
    code: 'several_uri_names',
    reason: /2 URI SANs/,
  },
  'the same URI SAN twice': { chain: leafWith(ext.names(uri(WEB), uri(WEB))), code: 'several_uri_names', reason: /2/ },
  'a DNS SAN only': { chain: leafWith(ext.names(dns('web.shop'))), code: 'missing_spiffe_id', reason: /no URI SAN/ },
  'a common name only': {
    chain: [makeLeaf(root, { subject: commonName(WEB), extensions: [ext.digitalSignature()] })],
    code: 'missing_spiffe_id',
    reason: /no URI SAN/,
  },
  'an ID as a DNS name': { chain: leafWith(ext.names(dns(WEB))), code: 'missing_spiffe_id', reason: /no URI SAN/ },
  'no extensions': {
    chain: [makeLeaf(root, { extensions: [ext.noAuthority()] })],
    code: 'missing_spiffe_id',
    reason: /no URI SAN/,
  },
  'an empty path': { chain: leafOf('spiffe://cluster.local'), code: 'invalid_spiffe_id', reason: /no path/ },
  'a path of a slash': {
    chain: leafOf('spiffe://cluster.local/'),
    code: 'invalid_spiffe_id',
    reason: /empty path segment/,
  },
  'a slash at the end': { chain: leafOf(`${WEB}/`), code: 'invalid_spiffe_id', reason: /empty path segment/ },
  'a double slash': {
    chain: leafOf('spiffe://cluster.local//ns/shop/sa/web'),
    code: 'invalid_spiffe_id',
    reason: /empty path segment/,
  },
  'a path of ..': {
    chain: leafOf('spiffe://cluster.local/ns/shop/sa/../sa/web'),
    code: 'invalid_spiffe_id',
    reason: /dot segment/,
  },
  'a service account ..': {
    chain: leafOf('spiffe://cluster.local/ns/shop/sa/..'),
    code: 'invalid_spiffe_id',
    reason: /dot/,
  },
  'percent-encoding': {
    chain: leafOf('spiffe://cluster.local/ns/shop/sa/%77eb'),
    code: 'invalid_spiffe_id',
    reason: /character/,
  },
  'upper case in the trust domain': {
    chain: leafOf('spiffe://Cluster.local/ns/shop/sa/web'),
    code: 'invalid_spiffe_id',
    reason: /trust domain/,
  },
  'upper case in the scheme': { chain: leafOf(WEB.replace('s', 'S')), code: 'invalid_spiffe_id', reason: /spiffe:/ },
  'a port': {
    chain: leafOf('spiffe://cluster.local:80/ns/shop/sa/web'),
    code: 'invalid_spiffe_id',
    reason: /trust domain/,
  },
  'a user': {
    chain: leafOf('spiffe://a@cluster.local/ns/shop/sa/web'),
    code: 'invalid_spiffe_id',
    reason: /trust domain/,
  },
  'a query': { chain: leafOf(`${WEB}?a`), code: 'invalid_spiffe_id', reason: /character/ },
  'a fragment': { chain: leafOf(`${WEB}#a`), code: 'invalid_spiffe_id', reason: /character/ },
  'a NUL within': { chain: leafOf(`${WEB}\0.example`), code: 'invalid_spiffe_id', reason: /character/ },
  'a line end behind it': { chain: leafOf(`${WEB}\n`), code: 'invalid_spiffe_id', reason: /character/ },
  'bytes beyond ASCII': { chain: leafOf(`${WEB}\xe9`), code: 'malformed_certificate', reason: /ASCII/ },
  'another scheme': {
    chain: leafOf('https://cluster.local/ns/shop/sa/web'),
    code: 'invalid_spiffe_id',
    reason: /spiffe/,
  },
  'a path of another form': { chain: leafOf('spiffe://cluster.local/web'), code: 'invalid_spiffe_id', reason: /form/ },
  '2,049 bytes': {
    chain: leafOf(`spiffe://cluster.local/ns/shop/sa/${'a'.repeat(2049 - 33)}`),
    code: 'invalid_spiffe_id',
    reason: /longer than 2048/,
  },
  'a foreign trust domain': {
    chain: leafOf('spiffe://other.example/ns/shop/sa/web'),
    code: 'foreign_trust_domain',
    reason: /other\.example/,
  },
  'an authority as a leaf': {
    chain: leafWith(ext.authority(), ext.signing(), name),
    code: 'certificate_is_authority',
    reason: /authority/,
  },
  'a root as a leaf': { chain: [root.certificate], code: 'certificate_is_authority', reason: /authority/ },
};
