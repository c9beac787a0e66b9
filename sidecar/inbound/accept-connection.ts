import type { TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import { identityOfLeaf } from '#policy/x509/peer-identity.ts';
import type { VerifiedCertificate } from '../http/message.ts';

/**
 * Judges a caller's certificate once a connection, before a byte of HTTP is read: there must be one,
 * its chain must lead to the trust bundle, and it must carry exactly one SPIFFE ID of `trustDomain`.
 * Refuses: no_client_certificate, untrusted_certificate, invalid_spiffe_id, foreign_trust_domain.
 */
export function acceptConnection(socket: TLSSocket, trustDomain: string): VerifiedCertificate {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new Refusal('no_client_certificate', 'the caller presented no certificate');
  if (!socket.authorized) {
    const { subject, issuer, validFrom, validTo } = certificate;
    const who = `subject "${oneLine(subject)}", issuer "${oneLine(issuer)}", valid ${validFrom} to ${validTo}`;
    const clock = new Date().toUTCString();
    throw new Refusal('untrusted_certificate', `${String(socket.authorizationError)}: ${who}; clock here ${clock}`);
  }
  const now = Date.now();
  // a resumed session brings the verdict of its first handshake along, not the certificate's validity of today
  if (now < certificate.validFromDate.getTime() || now > certificate.validToDate.getTime()) {
    const validity = `valid ${certificate.validFrom} to ${certificate.validTo}`;
    throw new Refusal(
      'untrusted_certificate',
      `resumed outside of its validity: ${validity}; clock here ${new Date(now).toUTCString()}`,
    );
  }
  const result = identityOfLeaf(certificate);
  if (result.kind === 'invalid') throw new Refusal('invalid_spiffe_id', result.reason);
  if (result.id.trustDomain !== trustDomain) {
    throw new Refusal('foreign_trust_domain', `${result.id.uri} is not of trust domain ${trustDomain}`);
  }
  return { identity: result.id, sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase() };
}

function oneLine(name: string | undefined): string {
  return (name ?? '').replaceAll('\n', ', ');
}
