import type { X509Certificate } from 'node:crypto';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { sentChain } from '#policy/x509/sent-chain.ts';
import type { Credentials } from './credentials.ts';

/** Intermediates of the own chain, read once for each certificate. */
const ownIntermediates = new WeakMap<Credentials, readonly Buffer[]>();

/**
 * What a handshake brought. One that was resumed brings the leaf alone: the authorities above it are then mostly those above the own
 * certificate.
 */
export function chainOf(leaf: X509Certificate, own: Credentials): readonly Buffer[] {
  const chain = sentChain(leaf);
  return chain.length > 1 ? chain : [...chain, ...intermediatesOf(own)];
}

function intermediatesOf(own: Credentials): readonly Buffer[] {
  const known = ownIntermediates.get(own);
  if (known !== undefined) return known;
  const [, ...intermediates] = certificatesFromPem(own.certificateChainPem);
  ownIntermediates.set(own, intermediates);
  return intermediates;
}
