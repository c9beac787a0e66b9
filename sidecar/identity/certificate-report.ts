import { X509Certificate } from 'node:crypto';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { sha256Of } from '#policy/x509/sent-chain.ts';
import type { Credentials } from './credentials.ts';
import type { RenewalRecord } from './renewal-record.ts';

/** What operators are told of a sidecar's certificate, never its key. Times are ISO 8601. */
export interface CertificateReport {
  readonly validFrom: string;
  readonly expiresAt: string;
  /** Hexadecimal, lower case. */
  readonly serial: string;
  /** Null: not renewed since the sidecar started. */
  readonly lastRenewalAt: string | null;
  readonly renewalFailures: number;
  /** Why the last attempt to renew failed; null: it did not. */
  readonly failure: { readonly code: string; readonly reason: string; readonly at: string } | null;
  /** SHA-256 of the roots by which the own trust domain is believed. */
  readonly trustedRoots: readonly string[];
}

/** A root, as far as operators are told of it. */
export interface RootFacts {
  /** SHA-256, hexadecimal, lower case. */
  readonly fingerprint: string;
  readonly expiresAtMs: number;
}

export function certificateReport(credentials: Credentials, record: RenewalRecord): CertificateReport {
  const { serialNumber, validFromDate, validToDate } = new X509Certificate(credentials.certificateChainPem);
  const { failure, lastRenewalAtMs } = record;
  return {
    validFrom: validFromDate.toISOString(),
    expiresAt: validToDate.toISOString(),
    serial: serialNumber.toLowerCase(),
    lastRenewalAt: lastRenewalAtMs === undefined ? null : new Date(lastRenewalAtMs).toISOString(),
    renewalFailures: record.failureCount,
    failure:
      failure === undefined
        ? null
        : { code: failure.code, reason: failure.reason, at: new Date(failure.atMs).toISOString() },
    trustedRoots: rootsIn(credentials.trustBundlePem).map(({ fingerprint }) => fingerprint),
  };
}

/** The roots of a bundle; PEM. */
export function rootsIn(pem: string): readonly RootFacts[] {
  return certificatesFromPem(pem).map((der) => {
    const certificate = new X509Certificate(der);
    return { fingerprint: sha256Of(certificate), expiresAtMs: certificate.validToDate.getTime() };
  });
}
