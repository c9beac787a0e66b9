import type { SidecarStatus } from '../discovery/sidecar-registry.ts';
import type { OwnerOf } from '../discovery/workload-directory.ts';
import { type CertificateFacts, certificateFactsOf, type PlaintextFacts, plaintextFactsOf } from './vitals-facts.ts';

/** `current`: has what it should; `pending`: was sent an update; `refused`: would not take the last one. */
export type ProxyState = 'current' | 'pending' | 'refused';

/** What operators are told of one connected sidecar, as the page /proxies shows it. Times are ISO 8601. */
export interface ProxyFacts {
  readonly identity: string;
  readonly workload: Pick<SidecarStatus['workload'], 'name' | 'namespace' | 'serviceAccount'>;
  readonly sidecarVersion: string;
  /** `HOST:PORT` it is connected from. */
  readonly peer: string;
  readonly state: ProxyState;
  /** Empty: nothing is in force yet. */
  readonly inForceVersion: string;
  readonly pendingVersion: string | null;
  readonly refused: { readonly version: string; readonly reasons: readonly string[]; readonly at: string } | null;
  /** Null: it has not said; it is older than that. */
  readonly certificate: CertificateFacts | null;
  /** Who was let in without an identity; null as above. */
  readonly plaintext: PlaintextFacts | null;
  readonly connectedAt: string;
  readonly lastHeard: string;
}

/** `ownerOf`: undefined where nobody knows whose an address is. */
export function proxyFactsOf(sidecar: SidecarStatus, ownerOf: OwnerOf | undefined) {
  const { refused, vitals } = sidecar;
  return {
    identity: sidecar.identity,
    workload: sidecar.workload,
    sidecarVersion: sidecar.sidecarVersion,
    peer: sidecar.peer,
    state: proxyStateOf(sidecar),
    inForceVersion: sidecar.inForceVersion,
    pendingVersion: sidecar.pendingVersion ?? null,
    refused:
      refused === undefined
        ? null
        : { version: refused.version, reasons: refused.reasons, at: new Date(refused.atMs).toISOString() },
    certificate: certificateFactsOf(vitals),
    plaintext: plaintextFactsOf(vitals, ownerOf),
    connectedAt: new Date(sidecar.connectedAtMs).toISOString(),
    lastHeard: new Date(sidecar.lastHeardMs).toISOString(),
  } satisfies ProxyFacts;
}

export function proxyStateOf({ refused, pendingVersion }: SidecarStatus): ProxyState {
  if (pendingVersion !== undefined) return 'pending';
  return refused === undefined ? 'current' : 'refused';
}
