import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';

/** What the server proves itself with, and whose certificates it accepts from clients; PEM. */
export interface ServerIdentity {
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
  readonly trustBundlePem: string;
}

/**
 * TLS 1.3 with a client certificate that is optional (a sidecar's first call has none) and verified where it is
 * given: `getAuthContext()` then has it, and never has one that did not verify. The server's own certificate can
 * be renewed while connections go on. grpc-js's `createSsl` either demands a certificate or asks for none, and
 * its certificate-provider credentials cannot state a TLS version.
 */
export class OptionalClientCertificateCredentials extends ServerCredentials {
  constructor(identity: ServerIdentity) {
    super({ requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' }, secureContext(identity));
  }

  /** New connections get the new certificate. */
  renew(identity: ServerIdentity): void {
    this.updateSecureContextOptions(secureContext(identity));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function secureContext(identity: ServerIdentity): SecureContextOptions {
  return {
    minVersion: 'TLSv1.3',
    // No session is resumed: every connection proves its certificate anew, and none costs the memory of a ticket.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ca: identity.trustBundlePem,
    cert: identity.certificateChainPem,
    key: identity.privateKeyPem,
  };
}
