import { createSecureContext } from 'node:tls';
import { compileTrust, NOBODY_REVOKED, type PeerTrust } from '#policy/trust/peer-trust.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import type { Credentials } from './credentials.ts';

const BLOCK_BEGIN = '-----BEGIN CERTIFICATE-----';

/** Trust by the credentials alone, made once for each. */
const trusts = new WeakMap<Credentials, PeerTrust>();

/** The roots beside the own certificate, and of other trust domains by files. Throws where one cannot be read. */
export function trustByCredentials(credentials: Credentials): PeerTrust {
  const known = trusts.get(credentials);
  if (known !== undefined) return known;
  const { identity, trustBundlePem, federated = [] } = credentials;
  const own = { trustDomain: identity.trustDomain, rootsPem: trustBundlePem };
  const trust = compileTrust([own, ...federated], [], NOBODY_REVOKED);
  trusts.set(credentials, trust);
  return trust;
}

/**
 * Throws where not all of it can be read: what of a file that is being written is there already must not be served with, since peers would
 * refuse a chain with a certificate that they cannot read, nor be trusted by half.
 */
export function checkUsable(credentials: Credentials): void {
  const { certificateChainPem, privateKeyPem, trustBundlePem } = credentials;
  named('certificate chain', () => wholeBlocks(certificateChainPem).forEach(readNth));
  named('certificate and key', () => createSecureContext({ cert: certificateChainPem, key: privateKeyPem }));
  named('trust bundle', () => {
    wholeBlocks(trustBundlePem);
    trustByCredentials(credentials);
  });
}

function wholeBlocks(pem: string): readonly Buffer[] {
  const blocks = certificatesFromPem(pem);
  const begun = pem.split(BLOCK_BEGIN).length - 1;
  if (blocks.length === 0) throw new Error(`no ${BLOCK_BEGIN} that has an end`);
  if (begun !== blocks.length) throw new Error(`of ${begun} CERTIFICATE blocks ${blocks.length} have an end`);
  return blocks;
}

function readNth(der: Buffer, index: number): void {
  named(`certificate ${index + 1}`, () => readCertificate(der));
}

function named(what: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
