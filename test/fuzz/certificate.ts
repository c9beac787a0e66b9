import { X509Certificate } from 'node:crypto';
import { DerError } from '#policy/x509/der-reader.ts';
import { judgePath } from '#policy/x509/judge-path.ts';
import { leafIdentity } from '#policy/x509/leaf-identity.ts';
import { type Certificate, readCertificate } from '#policy/x509/read-certificate.ts';
import { readRoot } from '#policy/x509/root.ts';
import { verifyPeer } from '#policy/x509/verify-peer.ts';
import { directory, dns, ext, FALSE, NO_NAME, NULL, TRUE, uri } from '../policy/x509/build-certificate.ts';
import { makeIssuer, makeLeaf, makeRoot, NOW_MS, trusting, WEB } from '../policy/x509/mesh-certificates.ts';
import { USAGES } from '../policy/x509/refused-certificates.ts';
import { CHAINS } from '../policy/x509/refused-chains.ts';
import { IDENTITIES } from '../policy/x509/refused-identities.ts';
import { identityOfLeaf } from '../support/openssl-identity.ts';
import { type FuzzTarget, mustEqual } from './fuzz-target.ts';

const made = makeRoot();
const root = readRoot(made.certificate);
const trust = trusting({ 'cluster.local': [made] });
const good = makeLeaf(made);
const bounded = makeIssuer(made, 'Bounded', {
  extensions: [ext.authority(1), ext.constraints([uri('.local'), dns('a')], [directory(NO_NAME)])],
}).certificate;

/**
 * The reader of certificates, and what judges them, without the signature that keeps mutations out: what is read is what OpenSSL
 * reads, identity and all; nothing is thrown but DerError; what was not signed is never accepted.
 */
export const certificate: FuzzTarget = {
  name: 'certificate',
  sources: ['/policy/x509/'],
  seeds: () => {
    const rows = [IDENTITIES, CHAINS, USAGES].flatMap((table) => Object.values(table)).flatMap(({ chain }) => chain);
    return [good, bounded, made.certificate, ...rows].filter(({ length }) => length < 2_000);
  },
  dictionary: [
    ...[TRUE, FALSE, NULL, NO_NAME, uri(WEB), dns('a'), ext.noAuthority(), ext.authority(0), ext.signing()],
    ...[ext.constraints([uri('a')]), ext.usages('2.5.29.37.0'), ext.digitalSignature(), ext.names(uri(WEB), uri(WEB))],
    ...['0000', '0280', '04820100', '3080', '170d', '180f', '0603551d', 'ff', '8600', '82', '87'].map((text) =>
      Buffer.from(text, 'hex'),
    ),
  ],
  maxBytes: 4_096,
  run(bytes) {
    const verdict = verifyPeer([bytes], trust, NOW_MS, 'client');
    if (verdict.kind === 'accepted' && !bytes.equals(good)) throw new Error(`accepted as ${verdict.id.uri}`);
    if (verdict.kind === 'refused' && verdict.code === 'internal_error') throw new Error(verdict.reason);
    const read = readOrComplain(bytes);
    if (typeof read === 'string') return read;
    const identity = leafIdentity(read);
    const path = judgePath([read], root, NOW_MS, 'server')?.code;
    const asIssuer = judgePath([read, read], root, NOW_MS, 'client')?.code;
    return [besideOpenSsl(read), identity.kind === 'refused' ? identity.code : 'identity', path, asIssuer].join(' ');
  },
};

function readOrComplain(bytes: Buffer): Certificate | string {
  try {
    return readCertificate(bytes);
  } catch (error) {
    if (error instanceof DerError) return error.complaint.replace(/\d+/g, '_');
    throw error;
  }
}

/** OpenSSL refuses some that are read here: keys of no known kind, odd values in extensions that decide nothing. */
function besideOpenSsl(ours: Certificate): string {
  let theirs: X509Certificate;
  try {
    theirs = new X509Certificate(ours.der);
  } catch {
    return 'not read by OpenSSL';
  }
  mustEqual(ours.serial, theirs.serialNumber.toLowerCase().padStart(2, '0'), 'serial');
  mustEqual(String(ours.notBeforeMs), String(theirs.validFromDate.getTime()), 'notBefore');
  mustEqual(String(ours.notAfterMs), String(theirs.validToDate.getTime()), 'notAfter');
  if (ours.extensions.isAuthority !== theirs.ca) return 'another word on the authority';
  const [ourIdentity, theirIdentity] = [leafIdentity(ours), identityOfLeaf(theirs)];
  const uriOf = (result: typeof ourIdentity | typeof theirIdentity) => ('id' in result ? result.id.uri : 'none');
  mustEqual(uriOf(ourIdentity), uriOf(theirIdentity), 'identity');
  return 'as OpenSSL';
}
