import { createPrivateKey, X509Certificate } from 'node:crypto';
import { leafIdentity } from '#policy/x509/leaf-identity.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import type { Credentials } from '../identity/credentials.ts';

/**
 * What is wrong with credentials, or undefined: the leaf must be of the identity, fit the key, be valid now, and
 * its chain must end in one of the trusted roots (PEM).
 */
export function credentialsComplaint(
  credentials: Credentials,
  trustedRootsPem: string,
  nowMs: number,
): string | undefined {
  try {
    const [leaf, ...intermediates] = certificatesOf(credentials.certificateChainPem);
    if (leaf === undefined) return 'the chain holds no certificate';
    const identity = leafIdentity(readCertificate(leaf.raw));
    if (identity.kind === 'refused') return identity.reason;
    if (identity.id.uri !== credentials.identity.uri) {
      return `the certificate is for ${identity.id.uri}, and this sidecar is ${credentials.identity.uri}`;
    }
    if (!leaf.checkPrivateKey(createPrivateKey(credentials.privateKeyPem)))
      return 'the key does not fit the certificate';
    if (leaf.validToDate.getTime() <= nowMs) {
      return `the certificate expired at ${leaf.validTo}; the clock here says ${new Date(nowMs).toUTCString()}`;
    }
    return chainComplaint([leaf, ...intermediates], certificatesOf(trustedRootsPem));
  } catch (error) {
    return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Whether the chain leads to one of the roots; both PEM. */
export function endsInRoot(chainPem: string, rootsPem: string): boolean {
  return chainComplaint(certificatesOf(chainPem), certificatesOf(rootsPem)) === undefined;
}

function chainComplaint(chain: readonly X509Certificate[], roots: readonly X509Certificate[]): string | undefined {
  for (const [index, certificate] of chain.entries()) {
    if (roots.some((root) => isIssuedBy(certificate, root))) return undefined;
    const next = chain[index + 1];
    if (next === undefined || !isIssuedBy(certificate, next)) break;
  }
  return 'the chain of the certificate does not end in a trusted root';
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function certificatesOf(pem: string): X509Certificate[] {
  return certificatesFromPem(pem).map((der) => new X509Certificate(der));
}
