import type { KeyObject } from 'node:crypto';
import { certificate, type Issuer, keyIdentifiers } from './certificate.ts';
import { decodeDer } from './der.ts';
import {
  basicConstraints,
  certificateSigningUsage,
  digitalSignatureUsage,
  dnsAltNames,
  keyIdentifier,
  serverUsage,
} from './extensions.ts';
import { distinguishedName, EMPTY_NAME, namesOf } from './names.ts';

interface Validity {
  /** DER. */
  readonly subjectPublicKeyInfo: Buffer;
  readonly nowMs: number;
  readonly lifetimeMs: number;
  /** SERIAL_BYTES random bytes. */
  readonly serial: Buffer;
}

export interface ServerAuthorityRequest extends Validity {
  readonly organization: string;
  readonly commonName: string;
}

/** A root that issues certificates for TLS servers by name, outside of any trust domain. Returns DER. */
export function issueServerAuthority(request: ServerAuthorityRequest, privateKey: KeyObject): Buffer {
  const subject = decodeDer(distinguishedName(request.organization, request.commonName));
  const names = { subject, keyIdentifier: keyIdentifier(request.subjectPublicKeyInfo) };
  return certificate({
    ...request,
    notAfterMs: request.nowMs + request.lifetimeMs,
    issuerName: subject,
    subject,
    signer: privateKey,
    extensions: [
      basicConstraints(0),
      certificateSigningUsage(),
      ...keyIdentifiers(names, request.subjectPublicKeyInfo),
    ],
  });
}

export interface ServerCertificateRequest extends Validity {
  readonly dnsNames: readonly string[];
}

/** A TLS server's certificate for DNS names (RFC 9525 §6): empty subject. It never outlives its issuer. Returns DER. */
export function issueServerCertificate(request: ServerCertificateRequest, issuer: Issuer): Buffer {
  const names = namesOf(issuer.certificate);
  return certificate({
    ...request,
    notAfterMs: Math.min(request.nowMs + request.lifetimeMs, issuer.notAfterMs),
    issuerName: names.subject,
    subject: EMPTY_NAME,
    signer: issuer.privateKey,
    extensions: [
      basicConstraints(undefined),
      digitalSignatureUsage(),
      serverUsage(),
      dnsAltNames(request.dnsNames),
      ...keyIdentifiers(names, request.subjectPublicKeyInfo),
    ],
  });
}
