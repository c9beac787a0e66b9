import { createPlaceCounts, type PlaceCounts } from '../discovery/subscription-places.ts';
import { createGateCounts, type GateCounts } from '../listener/connection-gate.ts';

/** Counters of the control plane since its start. */
export interface ControlPlaneMetrics {
  readonly signings: { token: number; certificate: number };
  signingRefusals: number;
  /** Of those, since the caller asked too often. */
  signingsOverRate: number;
  readonly updates: { sent: number; acked: number; nacked: number };
  subscriptionRefusals: number;
  readonly places: PlaceCounts;
  /** Of the gRPC port. */
  readonly connections: GateCounts;
  readonly applies: { succeeded: number; failed: number };
  reports: number;
}

export function createMetrics(): ControlPlaneMetrics {
  return {
    signings: { token: 0, certificate: 0 },
    signingRefusals: 0,
    signingsOverRate: 0,
    updates: { sent: 0, acked: 0, nacked: 0 },
    subscriptionRefusals: 0,
    places: createPlaceCounts(),
    connections: createGateCounts(),
    applies: { succeeded: 0, failed: 0 },
    reports: 0,
  };
}
