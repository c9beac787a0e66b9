import type { Socket } from 'node:net';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { WorkloadPolicy } from '#policy/workload-policy.ts';
import type { TcpConnection } from '../listener/tcp-connection.ts';
import type { Destination } from './exchange.ts';
import { type Direction, Passage } from './passage.ts';

/** One TCP connection on its way through the sidecar. Stages narrow its type, as they do with an Exchange. */
export class TcpPassage extends Passage {
  readonly connection: TcpConnection;

  constructor(direction: Direction, connection: TcpConnection, policy: WorkloadPolicy) {
    super(direction, policy);
    this.connection = connection;
    this.waitingFor = 'tcp';
  }
}

/** The caller's identity is proven, or known to be absent; it is known where the connection goes. */
export type IdentifiedTcp = TcpPassage & { readonly source: SpiffeId | null; readonly destination: string };
/** Whoever is to be asked before the policies are has allowed it. */
export type ConsultedTcp = IdentifiedTcp & { readonly isConsulted: true };
/** The caller may connect. */
export type PermittedTcp = ConsultedTcp & { readonly permitted: true };
/** It is known which service, or which address beyond the mesh, the app's connection is for. */
export type ResolvedTcp = TcpPassage & { readonly target: Destination };
/** The other side (the app, or a peer) has been reached. */
export type ConnectedTcp = TcpPassage & { readonly upstream: Socket };
