import type { Gauge } from './metrics.ts';

/** What is counted of TLS with other workloads. */
export interface TlsCounts {
  /** Handshakes that were accepted, by who began them: `inbound` a caller, `outbound` this sidecar. */
  readonly handshakes: { readonly [direction in 'inbound' | 'outbound']: { full: number; resumed: number } };
  /** Connections that were cut: a certificate ended (`expired`), or its bearer is believed no longer (`refused`). */
  readonly cut: { readonly expired: number; readonly refused: number };
}

export function tlsGauges({ handshakes, cut }: TlsCounts): Gauge[] {
  return [
    {
      name: 'lateral_tls_handshakes_total',
      help: 'Mutual TLS handshakes whose peer was believed.',
      type: 'counter',
      read: () =>
        Object.entries(handshakes).flatMap(([direction, { full, resumed }]) => [
          [`{direction="${direction}",resumed="false"}`, full],
          [`{direction="${direction}",resumed="true"}`, resumed],
        ]),
    },
    {
      name: 'lateral_connections_cut_total',
      help: 'Connections that were cut because a certificate they were made with ended, or is believed no longer.',
      type: 'counter',
      read: () => Object.entries(cut).map(([reason, count]) => [`{reason="${reason}"}`, count]),
    },
  ];
}
