import { createSecureContext } from 'node:tls';
import { ChannelCredentials, Client, type ClientOptions, Metadata } from '@grpc/grpc-js';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { compileTrust, NOBODY_REVOKED } from '#policy/trust/peer-trust.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { CODE_METADATA } from '#proto/code-metadata.ts';
import { MAX_REQUEST_BYTES, MAX_UPDATE_BYTES, UPDATE_WINDOW_BYTES } from '#proto/discovery-limits.ts';
import { CONTROL_PLANE_SERVER_NAME } from '#proto/server-name.ts';
import type { Credentials } from '../identity/credentials.ts';
import { codeOfHandshakeFailure, serverComplaint } from './judge-server.ts';

/** Service account of the control plane in the root namespace. */
const CONTROL_PLANE_SERVICE_ACCOUNT = 'control-plane';
/** Room for an update's envelope beside its documents. */
const ENVELOPE_BYTES = 1024 * 1024;

/** Where the control plane is, and by whose word it is believed. */
export interface ControlEndpoint {
  /** `HOST:PORT`. */
  readonly address: string;
  /** The roots by which it is believed, and no others; PEM. */
  readonly trustBundlePem: string;
  readonly mesh: Mesh;
}

/**
 * A connection to the control plane, made when the first call needs it: TLS 1.3, with the certificate where the
 * sidecar has one. The server must prove `spiffe://TRUST-DOMAIN/ns/ROOT-NAMESPACE/sa/control-plane`; a workload's
 * certificate, though of the same roots, is refused. Close it when done.
 */
export function openControlConnection(endpoint: ControlEndpoint, credentials: Credentials | undefined): Client {
  const expected = spiffeId(endpoint.mesh.trustDomain, endpoint.mesh.rootNamespace, CONTROL_PLANE_SERVICE_ACCOUNT);
  const rootsPem = endpoint.trustBundlePem;
  const domain = { trustDomain: endpoint.mesh.trustDomain, rootsPem };
  const trust = compileTrust([domain], [], NOBODY_REVOKED);
  const secureContext = createSecureContext({
    minVersion: 'TLSv1.3',
    ca: rootsPem,
    ...(credentials === undefined ? {} : { cert: credentials.certificateChainPem, key: credentials.privateKeyPem }),
  });
  const channelCredentials = ChannelCredentials.createFromSecureContext(secureContext, {
    checkServerIdentity: (_host, certificate) => serverComplaint(certificate, expected, trust, Date.now()),
  });
  return new Client(endpoint.address, channelCredentials, CHANNEL_OPTIONS);
}

const CHANNEL_OPTIONS: ClientOptions = {
  'grpc.ssl_target_name_override': CONTROL_PLANE_SERVER_NAME,
  // The control plane is reached directly, whatever proxy the environment of the app names.
  'grpc.enable_http_proxy': 0,
  // Each connection stands by itself: an attempt with new credentials does not wait for the backoff of another.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.max_receive_message_length': MAX_UPDATE_BYTES + ENVELOPE_BYTES,
  'grpc.max_send_message_length': MAX_REQUEST_BYTES,
  'grpc-node.flow_control_window': UPDATE_WINDOW_BYTES,
};

/** Metadata with a join token. */
export function bearing(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** Form of a code: one that a newer control plane sends need not be in the catalogue of this version. */
const CODE = /^[a-z][a-z0-9_]{0,63}$/;

/**
 * The code by which the control plane refused a call, or its certificate was refused, as a field of a log line; nothing where
 * neither is so.
 */
export function callCode(error: unknown): { readonly code?: string } {
  if (!(error instanceof Error)) return {};
  if (error.cause !== undefined) return callCode(error.cause);
  if ('metadata' in error && error.metadata instanceof Metadata) {
    const [code] = error.metadata.get(CODE_METADATA);
    if (typeof code === 'string' && CODE.test(code)) return { code };
  }
  const code = codeOfHandshakeFailure(error.message);
  return code === undefined ? {} : { code };
}

/** Why a call failed, in words for the operator. */
export function callFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const details = 'details' in error && typeof error.details === 'string' ? error.details : error.message;
  // grpc-js tells the cause after its own preamble.
  const cause = /Last error: (?:Error: )?(.+?)(?:\. Resolution note:.*)?$/s.exec(details)?.[1] ?? details;
  if (/self-signed certificate|unable to (get|verify)|certificate signature failure/i.test(cause)) {
    return `the server's certificate is not of the roots in the trust bundle (${cause})`;
  }
  if (cause.includes('ECONNREFUSED')) return `nothing listens there (${cause})`;
  return cause;
}
