import { Server, ServerCredentials } from '@grpc/grpc-js';
import { MAX_REQUEST_BYTES, MAX_UPDATE_BYTES, REQUEST_WINDOW_BYTES } from '#proto/discovery-limits.ts';
import { AuthorityService } from '#proto/gen/lateral/v1/authority.ts';
import { DiscoveryService } from '#proto/gen/lateral/v1/discovery.ts';
import { ObservationService } from '#proto/gen/lateral/v1/observation.ts';
import { OperationsService } from '#proto/gen/lateral/v1/operations.ts';
import { ReplicasService } from '#proto/gen/lateral/v1/replicas.ts';
import { type AuthorityServiceOptions, authorityService } from '../authority/authority-service.ts';
import { type DiscoveryOptions, discoveryService } from '../discovery/discovery-service.ts';
import { encodeResponse } from '../discovery/encode-response.ts';
import { type ObservationServiceOptions, observationService } from '../observation/observation-service.ts';
import { type OperationsServiceOptions, operationsService } from '../operations/operations-service.ts';
import { tapRelay } from '../operations/tap-relay.ts';
import { type ReplicasServiceOptions, replicasService } from '../replicas/replicas-service.ts';
import { CallerProofs, type IsRevoked } from './caller-proofs.ts';
import { grpcGate, type ListenOptions } from './grpc-gate.ts';
import { narrowRequests } from './narrow-requests.ts';
import { type ServerIdentity, startTlsListener, type TlsListener } from './tls-listener.ts';

/** Streams one connection may have open: a sidecar needs three. */
const MAX_STREAMS_A_CONNECTION = 16;
/** A connection without a sign of life is probed, and closed when the probe is not answered. */
const KEEPALIVE_INTERVAL_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
/** A connection without calls is closed. */
const MAX_IDLE_MS = 60_000;
/** Calls that still run at the end are given this long. */
const SHUTDOWN_GRACE_MS = 1_000;
/** Room for an update's envelope beside its documents. */
const ENVELOPE_BYTES = 1024 * 1024;

export interface ControlPlaneServer {
  /** `HOST:PORT` that sidecars reach. */
  readonly address: string;
  renewIdentity(identity: ServerIdentity): void;
  /** Ends the connections of those who are revoked. */
  endRevoked(): void;
  /** Ends all streams, waits for running calls up to a bound, and closes the port. */
  close(): Promise<void>;
}

export interface ControlPlaneServerOptions extends Omit<ServiceOptions, 'callers'> {
  readonly listen: ListenOptions;
  readonly identity: ServerIdentity;
  readonly isRevoked: IsRevoked;
  /** Further names of the trust domain. */
  readonly aliases: readonly string[];
}

interface ServiceOptions
  extends AuthorityServiceOptions,
    DiscoveryOptions,
    ObservationServiceOptions,
    OperationsServiceOptions,
    ReplicasServiceOptions {}

/** Serves Authority, Discovery, Observation, Operations and Replicas. Throws in one sentence when the port cannot be had. */
export async function startControlPlaneServer(options: ControlPlaneServerOptions): Promise<ControlPlaneServer> {
  const { listen, mesh, identity, isRevoked, aliases, log, now } = options;
  const { trustBundlePem } = identity;
  const callers = new CallerProofs({ trustDomain: mesh.trustDomain, aliases, trustBundlePem, isRevoked, log, now });
  const services = { ...options, callers };
  const server = new Server({
    'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
    'grpc.max_send_message_length': MAX_UPDATE_BYTES + ENVELOPE_BYTES,
    'grpc.max_concurrent_streams': MAX_STREAMS_A_CONNECTION,
    'grpc.keepalive_time_ms': KEEPALIVE_INTERVAL_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.max_connection_idle_ms': MAX_IDLE_MS,
    // Nobody asks it, and it keeps a record of each connection and stream.
    'grpc.enable_channelz': 0,
  });
  narrowRequests(server, REQUEST_WINDOW_BYTES);
  const discovery = discoveryService(services);
  const relay = tapRelay(services);
  server.addService(AuthorityService, { sign: authorityService(services) });
  const subscribe = { ...DiscoveryService.subscribe, responseSerialize: encodeResponse };
  server.addService({ ...DiscoveryService, subscribe }, { subscribe: discovery.subscribe });
  server.addService(ObservationService, { report: observationService(services), relay: relay.relay });
  server.addService(OperationsService, operationsService(options, relay.tap));
  server.addService(ReplicasService, replicasService(services));
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  let listener: TlsListener;
  try {
    listener = await startTlsListener({
      listen,
      limits: grpcGate(listen.connectionsOfAddress),
      identity,
      callers,
      counts: options.metrics.connections,
      log,
      onConnection: (socket) => injector.injectConnection(socket),
    });
  } catch (error) {
    discovery.close();
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot listen on ${hostAndPort(listen.address, listen.port)}: ${why}`);
  }
  return {
    address: hostAndPort(listen.address, listener.port),
    renewIdentity: (identity) => listener.renew(identity),
    endRevoked: () => callers.endRevoked(),
    async close() {
      listener.close();
      discovery.close();
      await shutDown(server);
    },
  };
}

function shutDown(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.forceShutdown(), SHUTDOWN_GRACE_MS);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}

function hostAndPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
