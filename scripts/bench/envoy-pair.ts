import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../../test/support/free-ports.ts';
import { answers, type Ground, type Pair } from './pairs.ts';

const TYPE = 'type.googleapis.com/envoy.extensions.';
const RULES = 10;

/** Two Envoys with HTTP/2 and mutual TLS between them, an RBAC filter of ten rules, a JSON access log. */
export async function envoyPair(ground: Ground, program: string): Promise<Pair> {
  const { directory, appPort, start } = ground;
  const [port = 0, inbound = 0] = await freePorts(2);
  const run = async (
    name: string,
    listener: number,
    cluster: object,
    filters: object[],
    transport: object | undefined,
  ) => {
    const path = join(directory, `${name}.json`);
    const document = {
      static_resources: { listeners: [listenerOf(directory, name, listener, filters, transport)], clusters: [cluster] },
    };
    await writeFile(path, JSON.stringify(document));
    const child = start(program, ['-c', path, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'error']);
    await answers(listener);
    return child;
  };
  const server = await run('envoy-in', inbound, clusterOf(appPort, undefined), [rbac()], tls(directory, 'server'));
  const client = await run('envoy-out', port, clusterOf(inbound, tls(directory, 'client')), [], undefined);
  return { name: 'envoy', port, client, server };
}

function tls(directory: string, side: 'client' | 'server'): object {
  const context = {
    '@type': `${TYPE}transport_sockets.tls.v3.${side === 'client' ? 'Upstream' : 'Downstream'}TlsContext`,
    common_tls_context: {
      tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
      alpn_protocols: ['h2'],
      tls_certificates: [
        {
          certificate_chain: { filename: `${directory}/${side}.pem` },
          private_key: { filename: `${directory}/${side}.key` },
        },
      ],
      validation_context: { trusted_ca: { filename: `${directory}/ca.pem` } },
    },
    ...(side === 'server' ? { require_client_certificate: true } : {}),
  };
  return { name: 'envoy.transport_sockets.tls', typed_config: context };
}

function clusterOf(port: number, transport: object | undefined): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  const http2 = {
    '@type': `${TYPE}upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  };
  return {
    name: 'next',
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: 'next', endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    circuit_breakers: { thresholds: [{ max_connections: 10_000, max_requests: 10_000, max_pending_requests: 10_000 }] },
    ...(transport === undefined
      ? {}
      : {
          transport_socket: transport,
          typed_extension_protocol_options: {
            [`${TYPE.slice('type.googleapis.com/'.length)}upstreams.http.v3.HttpProtocolOptions`]: http2,
          },
        }),
  };
}

function rbac(): object {
  const rule = (index: number) => {
    const prefix = index === RULES - 1 ? '/' : `/none${index}/`;
    const all = [{ header: { name: ':method', string_match: { exact: 'GET' } } }, { url_path: { path: { prefix } } }];
    const principal = { authenticated: { principal_name: { exact: 'spiffe://cluster.local/ns/bench/sa/client' } } };
    return [`rule-${index}`, { permissions: [{ and_rules: { rules: all } }], principals: [principal] }];
  };
  const policies = Object.fromEntries(Array.from({ length: RULES }, (_, index) => rule(index)));
  return {
    name: 'envoy.filters.http.rbac',
    typed_config: { '@type': `${TYPE}filters.http.rbac.v3.RBAC`, rules: { action: 'ALLOW', policies } },
  };
}

function listenerOf(
  directory: string,
  name: string,
  port: number,
  filters: object[],
  transport: object | undefined,
): object {
  const format = {
    t: '%START_TIME%',
    m: '%REQ(:METHOD)%',
    p: '%REQ(:PATH)%',
    s: '%RESPONSE_CODE%',
    b: '%BYTES_SENT%',
    d: '%DURATION%',
    src: '%DOWNSTREAM_PEER_URI_SAN%',
  };
  const manager = {
    '@type': `${TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    codec_type: 'AUTO',
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'next', timeout: '15s' } }],
        },
      ],
    },
    http_filters: [
      ...filters,
      { name: 'envoy.filters.http.router', typed_config: { '@type': `${TYPE}filters.http.router.v3.Router` } },
    ],
    access_log: [
      {
        name: 'file',
        typed_config: {
          '@type': `${TYPE}access_loggers.file.v3.FileAccessLog`,
          path: `${directory}/${name}.log`,
          log_format: { json_format: format },
        },
      },
    ],
    ...(transport === undefined
      ? {}
      : { forward_client_cert_details: 'SANITIZE_SET', set_current_client_cert_details: { uri: true } }),
  };
  const chain = {
    filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }],
    ...(transport === undefined ? {} : { transport_socket: transport }),
  };
  return { name, address: { socket_address: { address: '127.0.0.1', port_value: port } }, filter_chains: [chain] };
}
