import type { GateLimits } from '../listener/connection-gate.ts';

/** All connections of the gRPC port. */
export const MAX_CONNECTIONS = 12_000;
/**
 * Of one address, unless configured: a pod needs two, a node that hides its pods behind its own address, or a gateway, so many for each.
 * Where all places are taken the greediest address gives one, so that this need not be tight.
 */
export const MAX_CONNECTIONS_OF_ADDRESS = 2_500;
/** Of one identity: a service account that somebody got hold of leaves as many for all others. */
export const MAX_CONNECTIONS_OF_IDENTITY = 6_000;

/**
 * Bounds of the gRPC port. Without a certificate of the mesh a connection is good for asking for one, which takes a moment, and for
 * operators' commands.
 */
export function grpcGate(connectionsOfAddress = MAX_CONNECTIONS_OF_ADDRESS): GateLimits {
  return {
    connections: { total: MAX_CONNECTIONS, ofAddress: connectionsOfAddress, whenFull: 'most' },
    unproven: { total: 1_024, ofAddress: 128, whenFull: 'most' },
    ofIdentity: MAX_CONNECTIONS_OF_IDENTITY,
  };
}

/** Where the gRPC port is. */
export interface ListenOptions {
  readonly address: string;
  readonly port: number;
  /** Default MAX_CONNECTIONS_OF_ADDRESS. */
  readonly connectionsOfAddress?: number;
}
