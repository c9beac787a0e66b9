import { networkInterfaces } from 'node:os';
import type { TestAuthority } from '../certificates.ts';

/** Of the loopback. */
export const HAS_IPV6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));

const TYPE = 'type.googleapis.com/envoy.extensions';

/** Where tokens come in these tests, and Envoy's names for what it finds in them (istiod's `EnvoyJwtFilterPayload`). */
export const TOKEN_HEADER = 'x-test-token';
const PAYLOAD = 'payload';
/** A mode of Istio's. */
export type PathNormalization = 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

/** Claims that istiod has Envoy split at spaces. */
const SPACE_DELIMITED = ['scope', 'permission'];
/** Body of a request that was let through, and what a TCP app sends back is what it got. */
export const LET_THROUGH = 'let through';

/** Which names Envoy takes for the client's, as istiod configures it on a sidecar: by its `numTrustedProxies`, one less in Envoy. */
export const TRUSTED_PROXIES = 1;

export interface RbacListener {
  readonly name: string;
  readonly port: number;
  /** Of istiod's translation. */
  readonly filters: readonly object[];
  readonly protocol: 'http' | 'tcp';
  readonly pathNormalization: PathNormalization;
}

/** What all listeners have in common. */
export interface EnvoyGround {
  readonly authority: TestAuthority;
  readonly leaf: { readonly cert: string; readonly key: string };
  /** JSON. */
  readonly keySet: string;
}

/**
 * A listener that ends mutual TLS and plaintext with the filters of one workload, as a sidecar of Istio in PERMISSIVE mode does, and
 * answers by itself. The addresses that are called come by the PROXY protocol, as those of redirected connections come by the kernel.
 */
export function rbacListener(listener: RbacListener, ground: EnvoyGround): object {
  const { name, port, filters, protocol } = listener;
  const chain = protocol === 'http' ? httpFilters(listener, ground) : [...filters, echo()];
  return {
    name,
    address: { socket_address: { address: '0.0.0.0', port_value: port } },
    ...(HAS_IPV6
      ? { additional_addresses: [{ address: { socket_address: { address: '::1', port_value: port } } }] }
      : {}),
    listener_filters: [
      { name: 'proxy', typed_config: { '@type': `${TYPE}.filters.listener.proxy_protocol.v3.ProxyProtocol` } },
      { name: 'tls', typed_config: { '@type': `${TYPE}.filters.listener.tls_inspector.v3.TlsInspector` } },
    ],
    filter_chains: [
      { filter_chain_match: { transport_protocol: 'tls' }, transport_socket: mutualTls(ground), filters: chain },
      { filter_chain_match: { transport_protocol: 'raw_buffer' }, filters: chain },
    ],
  };
}

function mutualTls({ authority, leaf }: EnvoyGround): object {
  return {
    name: 'tls',
    typed_config: {
      '@type': `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: true,
      common_tls_context: {
        alpn_protocols: ['h2', 'http/1.1'],
        tls_certificates: [
          { certificate_chain: { inline_string: leaf.cert }, private_key: { inline_string: leaf.key } },
        ],
        validation_context: { trusted_ca: { inline_string: authority.rootPem } },
      },
    },
  };
}

/** Source: istiod's `buildHTTPConnectionManager`. */
function normalizing(mode: PathNormalization): object {
  const merge = mode === 'MERGE_SLASHES' || mode === 'DECODE_AND_MERGE_SLASHES';
  const decode = mode === 'DECODE_AND_MERGE_SLASHES';
  return {
    normalize_path: mode !== 'NONE',
    ...(merge ? { merge_slashes: true } : {}),
    ...(decode ? { path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD' } : {}),
  };
}

function httpFilters({ filters, pathNormalization }: RbacListener, ground: EnvoyGround): readonly object[] {
  const route = { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: LET_THROUGH } } };
  const manager = {
    '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'rbac',
    ...normalizing(pathNormalization),
    use_remote_address: false,
    xff_num_trusted_hops: TRUSTED_PROXIES - 1,
    http_protocol_options: { accept_http_10: true },
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    http_filters: [
      tokens(ground),
      ...filters,
      { name: 'router', typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` } },
    ],
  };
  return [{ name: 'http', typed_config: manager }];
}

function tokens({ keySet }: EnvoyGround): object {
  const provider = {
    from_headers: [{ name: TOKEN_HEADER }],
    local_jwks: { inline_string: keySet },
    payload_in_metadata: PAYLOAD,
    normalize_payload_in_metadata: { space_delimited_claims: SPACE_DELIMITED },
  };
  const requires = { requires_any: { requirements: [{ provider_name: 'test' }, { allow_missing: {} }] } };
  return {
    name: 'envoy.filters.http.jwt_authn',
    typed_config: {
      '@type': `${TYPE}.filters.http.jwt_authn.v3.JwtAuthentication`,
      providers: { test: provider },
      rules: [{ match: { prefix: '/' }, requires }],
    },
  };
}

function echo(): object {
  return { name: 'echo', typed_config: { '@type': `${TYPE}.filters.network.echo.v3.Echo` } };
}
