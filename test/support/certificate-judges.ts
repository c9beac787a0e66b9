import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import tls from 'node:tls';
import { compileTrust, NOBODY_REVOKED } from '#policy/trust/peer-trust.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { verifyPeer } from '#policy/x509/verify-peer.ts';
import { listen, portOf } from './free-ports.ts';
import { openssl } from './openssl-authorities.ts';

/** What is judged: a certificate with its chain, and the roots by which it is to be good. */
export interface Judged {
  /** Leaf first; DER. */
  readonly chain: readonly Buffer[];
  readonly rootsPem: string;
}

/** `openssl verify -x509_strict` for both purposes; rejects with its words. */
export async function opensslVerifies({ chain, rootsPem }: Judged, directory: string): Promise<void> {
  const files = {
    roots: rootsPem,
    leaf: certificatesToPem(chain.slice(0, 1)),
    above: certificatesToPem(chain.slice(1)),
  };
  const path = (name: keyof typeof files) => join(directory, `${name}.judged.pem`);
  await writeFile(path('roots'), files.roots);
  await writeFile(path('leaf'), files.leaf);
  await writeFile(path('above'), files.above);
  const untrusted = chain.length > 1 ? ['-untrusted', path('above')] : [];
  for (const purpose of ['sslserver', 'sslclient']) {
    await openssl([
      'verify',
      '-x509_strict',
      '-purpose',
      purpose,
      '-CAfile',
      path('roots'),
      ...untrusted,
      path('leaf'),
    ]);
  }
}

/** What Node's own verification of TLS says to a server and to its client that both have this certificate: nothing, if it is good. */
export async function nodeComplaints({ chain, rootsPem }: Judged, key: string): Promise<string[]> {
  const own = { cert: certificatesToPem(chain), key, ca: rootsPem };
  const server = tls.createServer({ ...own, requestCert: true, rejectUnauthorized: false });
  await listen(server);
  const client = tls.connect({
    ...own,
    port: portOf(server),
    host: '127.0.0.1',
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  const [[accepted]] = await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')]);
  const found = [client.authorizationError, accepted.authorizationError].filter(Boolean).map(String);
  client.destroy();
  server.close();
  return found;
}

/** Where Node's X509Certificate says that one was not issued by the next. */
export function brokenLinks({ chain, rootsPem }: Judged): string[] {
  const certificates = [...chain.map((der) => new X509Certificate(der)), new X509Certificate(rootsPem)];
  return certificates.slice(0, -1).flatMap((certificate, index) => {
    const above = certificates[index + 1];
    if (above === undefined) return [];
    return certificate.checkIssued(above) && certificate.verify(above.publicKey) ? [] : [certificate.subject];
  });
}

/** Our own verdicts of both uses. */
export function ownVerdicts({ chain, rootsPem }: Judged, trustDomain: string): string[] {
  const trust = compileTrust([{ trustDomain, rootsPem }], [], NOBODY_REVOKED);
  return (['client', 'server'] as const).map((use) => {
    const verdict = verifyPeer(chain, trust, Date.now(), use);
    return verdict.kind === 'accepted' ? verdict.id.uri : `${verdict.code}: ${verdict.reason}`;
  });
}
