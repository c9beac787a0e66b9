import { readRoot } from '#policy/x509/root.ts';
import type { VerificationTrust } from '#policy/x509/verify-peer.ts';
import {
  ALGORITHM,
  type Algorithm,
  buildCertificate,
  CLIENT_AUTH,
  type Content,
  commonName,
  ecPair,
  ext,
  NO_NAME,
  type Pair,
  SERVER_AUTH,
  spki,
  time,
  uri,
} from './build-certificate.ts';

const HOUR_MS = 3_600_000;
/** When all of them are looked at, unless a test says otherwise. */
export const NOW_MS = Date.UTC(2026, 5, 15, 12);
export const WEB = 'spiffe://cluster.local/ns/shop/sa/web';

export interface TestIssuer {
  readonly certificate: Buffer;
  readonly name: Buffer;
  readonly pair: Pair;
  readonly algorithm: Algorithm;
}

export type Change = Partial<Content>;

/** How a certificate that is good in all else is made. */
const base = {
  notBefore: time(NOW_MS - HOUR_MS),
  notAfter: time(NOW_MS + HOUR_MS),
};

export function makeRoot(
  name = 'Root',
  pair = ecPair(),
  algorithm: Algorithm = ALGORITHM.ecdsaSha256,
  change: Change = {},
): TestIssuer {
  const subject = commonName(name);
  const certificate = buildCertificate({
    ...base,
    notBefore: time(NOW_MS - 10 * HOUR_MS),
    notAfter: time(NOW_MS + 10 * HOUR_MS),
    issuer: subject,
    subject,
    subjectPublicKeyInfo: spki(pair),
    extensions: [ext.authority(), ext.signing()],
    algorithm,
    signer: pair.privateKey,
    ...change,
  });
  return { certificate, name: change.subject ?? subject, pair, algorithm };
}

/** `algorithm`: that the new issuer will sign by. */
export function makeIssuer(
  above: TestIssuer,
  name = 'Issuing',
  change: Change = {},
  pair = ecPair(),
  algorithm: Algorithm = ALGORITHM.ecdsaSha256,
): TestIssuer {
  const subject = change.subject ?? commonName(name);
  const certificate = buildCertificate({
    ...base,
    notAfter: time(NOW_MS + 5 * HOUR_MS),
    issuer: above.name,
    subject,
    subjectPublicKeyInfo: spki(pair),
    extensions: [ext.authority(), ext.signing()],
    algorithm: above.algorithm,
    signer: above.pair.privateKey,
    ...change,
  });
  return { certificate, name: subject, pair, algorithm };
}

const leafPair = ecPair();
/** Of all leaves, unless a test gives them another. */
export const leafKey = leafPair.privateKey;

export function makeLeaf(issuer: TestIssuer, change: Change = {}): Buffer {
  return buildCertificate({
    ...base,
    issuer: issuer.name,
    subject: NO_NAME,
    subjectPublicKeyInfo: spki(leafPair),
    extensions: leafExtensions(),
    algorithm: issuer.algorithm,
    signer: issuer.pair.privateKey,
    ...change,
  });
}

export function leafExtensions(...names: readonly Buffer[]): Buffer[] {
  return [
    ext.noAuthority(),
    ext.digitalSignature(),
    ext.usages(SERVER_AUTH, CLIENT_AUTH),
    ext.names(...(names.length === 0 ? [uri(WEB)] : names)),
  ];
}

/** Trust in roots by trust domain; `revoked`: URIs and serials. */
export function trusting(
  roots: { readonly [trustDomain: string]: readonly TestIssuer[] },
  revoked: readonly string[] = [],
): VerificationTrust {
  const read = new Map(
    Object.entries(roots).map(([domain, list]) => [domain, list.map((root) => readRoot(root.certificate))]),
  );
  return {
    rootsOf: (trustDomain) => read.get(trustDomain),
    revocationOf: (id, serial) =>
      revoked.includes(id) || revoked.includes(serial) ? 'revoked in this test' : undefined,
  };
}
