import { METHODS, RULES, ruledPath } from './pair.ts';

const EXTENSION = 'envoy.extensions.';
const TYPE = `type.googleapis.com/${EXTENSION}`;
/** Long enough for a body of 100 MB on a slow machine. */
const ROUTE_TIMEOUT = '120s';

export function downstreamTls(certificates: string): object {
  return tls('Downstream', certificates, 'server', { require_client_certificate: true });
}

export function upstreamTls(certificates: string): object {
  return tls('Upstream', certificates, 'client', {});
}

function tls(stream: string, certificates: string, side: string, more: object): object {
  const common = {
    tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
    alpn_protocols: ['h2', 'http/1.1'],
    tls_certificates: [
      {
        certificate_chain: { filename: `${certificates}/${side}.pem` },
        private_key: { filename: `${certificates}/${side}.key` },
      },
    ],
    validation_context: { trusted_ca: { filename: `${certificates}/ca.pem` } },
  };
  const type = `${TYPE}transport_sockets.tls.v3.${stream}TlsContext`;
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: { '@type': type, common_tls_context: common, ...more },
  };
}

export interface Cluster {
  readonly name: string;
  readonly port: number;
  readonly isHttp2: boolean;
  readonly transport?: object;
}

export function clusterOf({ name, port, isHttp2, transport }: Cluster): object {
  const options = `${EXTENSION}upstreams.http.v3.HttpProtocolOptions`;
  const http2 = {
    '@type': `type.googleapis.com/${options}`,
    explicit_http_config: { http2_protocol_options: {} },
  };
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: at(port) } }] }] },
    circuit_breakers: { thresholds: [{ max_connections: 10_000, max_requests: 10_000, max_pending_requests: 10_000 }] },
    ...(transport === undefined ? {} : { transport_socket: transport }),
    ...(isHttp2 ? { typed_extension_protocol_options: { [options]: http2 } } : {}),
  };
}

/** Allows what the tenth of ten rules matches. */
export function rbac(): object {
  const methods = METHODS.map((exact) => ({ header: { name: ':method', string_match: { exact } } }));
  const policyOf = (index: number) => {
    const path = { url_path: { path: { prefix: ruledPath(index) } } };
    return {
      permissions: [{ and_rules: { rules: [{ or_rules: { rules: methods } }, path] } }],
      principals: [{ authenticated: { principal_name: { exact: 'spiffe://cluster.local/ns/bench/sa/client' } } }],
    };
  };
  const policies = Object.fromEntries(Array.from({ length: RULES }, (_, index) => [`rule-${index}`, policyOf(index)]));
  return {
    name: 'envoy.filters.http.rbac',
    typed_config: { '@type': `${TYPE}filters.http.rbac.v3.RBAC`, rules: { action: 'ALLOW', policies } },
  };
}

export interface Listener {
  readonly name: string;
  readonly port: number;
  /** The access log's file. */
  readonly log: string;
  readonly filters: readonly object[];
  /** Absent: plaintext. */
  readonly transport: object | undefined;
}

export function listenerOf({ name, port, log, filters, transport }: Listener): object {
  const route = { match: { prefix: '/' }, route: { cluster: 'next', timeout: ROUTE_TIMEOUT } };
  const router = {
    name: 'envoy.filters.http.router',
    typed_config: { '@type': `${TYPE}filters.http.router.v3.Router` },
  };
  const forwarded = {
    forward_client_cert_details: 'SANITIZE_SET',
    set_current_client_cert_details: { uri: true },
  };
  const manager = {
    '@type': `${TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    codec_type: 'AUTO',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    http_filters: [...filters, router],
    access_log: [accessLog(log)],
    tracing: tracing(name),
    ...(transport === undefined ? {} : forwarded),
  };
  const chain = {
    filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }],
    ...(transport === undefined ? {} : { transport_socket: transport }),
  };
  return { name, address: at(port), filter_chains: [chain] };
}

function accessLog(path: string): object {
  const format = {
    t: '%START_TIME%',
    m: '%REQ(:METHOD)%',
    p: '%REQ(:PATH)%',
    s: '%RESPONSE_CODE%',
    b: '%BYTES_SENT%',
    d: '%DURATION%',
    src: '%DOWNSTREAM_PEER_URI_SAN%',
    x: '%REQ(X-REQUEST-ID)%',
  };
  const type = `${TYPE}access_loggers.file.v3.FileAccessLog`;
  return { name: 'file', typed_config: { '@type': type, path, log_format: { json_format: format } } };
}

/** One request in a hundred, to the cluster `otlp`. */
function tracing(service: string): object {
  const type = 'type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig';
  const exporter = { '@type': type, grpc_service: { envoy_grpc: { cluster_name: 'otlp' } }, service_name: service };
  return {
    random_sampling: { value: 1 },
    provider: { name: 'envoy.tracers.opentelemetry', typed_config: exporter },
  };
}

function at(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}
