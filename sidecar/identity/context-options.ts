import { constants, hkdfSync } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import type { PeerTrust } from '#policy/trust/peer-trust.ts';
import type { TlsVersion } from '#policy/workload-policy.ts';
import type { Credentials } from './credentials.ts';

/** Node's form of session ticket keys: name, HMAC key and AES key. */
export const TICKET_KEY_BYTES = 48;
/** TLS 1.2, where a policy allows it: forward secrecy and authenticated encryption alone (RFC 9325 §4.2); the first three are those of 1.3. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** What connections of either direction are made with. */
export function contextOptions(own: Credentials, trust: PeerTrust, minVersion: TlsVersion): SecureContextOptions {
  return {
    cert: own.certificateChainPem,
    key: own.privateKeyPem,
    // for what is told to callers: nothing is judged by it. A list, if need be an empty one, since without any Node loads public authorities
    ca: [...trust.authoritiesPem],
    minVersion,
    ciphers: CIPHERS,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  };
}

/**
 * Others when the own key is another, so that no session is older than the certificate it was begun with. `secret`: of this thread, since
 * another does not know the chain that the session began with; gone with the process, so that a key that is stolen later opens no session
 * of TLS 1.2 (RFC 5077 §5.5).
 */
export function ticketKeys({ privateKeyPem }: Credentials, secret: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', privateKeyPem, secret, 'lateral session tickets', TICKET_KEY_BYTES));
}
