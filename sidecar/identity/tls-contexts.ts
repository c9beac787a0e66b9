import type { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { identityOfLeaf } from '#policy/x509/peer-identity.ts';
import type { PeerTls } from '../http/dial.ts';
import type { CredentialSource, Credentials } from './credentials.ts';

/** TLS material of both directions, made anew at each renewal. */
export class TlsContexts {
  readonly #source: CredentialSource;
  #client: SecureContext;

  constructor(source: CredentialSource) {
    this.#source = source;
    this.#client = createSecureContext(contextOptions(source.current()));
    source.onRenewal((credentials) => {
      this.#client = createSecureContext(contextOptions(credentials));
    });
  }

  /** For listeners: what they serve with now. */
  server(): SecureContextOptions {
    return contextOptions(this.#source.current());
  }

  /** For connections to a peer that must prove `expected`; from `localAddress`, where that is given. */
  peer(expected: SpiffeId, localAddress?: string): PeerTls {
    return {
      context: () => this.#client,
      localAddress,
      complaint: (certificate) => peerComplaint(certificate, expected),
    };
  }
}

function contextOptions(credentials: Credentials): SecureContextOptions {
  return {
    cert: credentials.certificateChainPem,
    key: credentials.privateKeyPem,
    ca: credentials.trustBundlePem,
    minVersion: 'TLSv1.3',
  };
}

function peerComplaint(certificate: X509Certificate | undefined, expected: SpiffeId): string | undefined {
  if (certificate === undefined) return 'the peer presented no certificate';
  const result = identityOfLeaf(certificate);
  if (result.kind === 'invalid') return result.reason;
  return result.id.uri === expected.uri ? undefined : `proved ${result.id.uri}, expected ${expected.uri}`;
}
